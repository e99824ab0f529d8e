//! Where to compute.

use anyhow::{Result, bail};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// The choices of `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A CUDA GPU when this build supports it and one is there, else the CPU.
    Auto,
    /// burn's CPU back end (flex).
    Cpu,
    /// The first NVIDIA GPU (a build with `--features cuda`).
    Cuda,
    /// The default GPU through wgpu (a build with `--features wgpu`).
    Wgpu,
}

impl DeviceChoice {
    /// The devices that share each batch, and their name: those of `numbers`, or the one that [`DeviceChoice::open`] gives.
    ///
    /// # Errors
    /// As [`DeviceChoice::open`]; when a number comes twice, or there are numbers and the device is not CUDA.
    pub fn open_all(self, numbers: &[usize]) -> Result<(Vec<Device>, &'static str)> {
        let (first, name) = self.open()?;
        if numbers.is_empty() {
            return Ok((vec![first], name));
        }
        if name != "cuda" {
            bail!("--devices names CUDA devices, and this run computes on {name}: leave it out, or use --device cuda");
        }
        if (1..numbers.len()).any(|i| numbers[..i].contains(&numbers[i])) {
            bail!("--devices names a device twice");
        }
        Ok((numbers.iter().filter_map(|&number| cuda(number)).map(|(device, _)| device).collect(), name))
    }

    /// The device and its name.
    ///
    /// # Errors
    /// When this build has no such back end.
    pub fn open(self) -> Result<(Device, &'static str)> {
        match self {
            Self::Cpu => Ok((Device::flex(), "cpu")),
            Self::Auto => Ok(cuda(0).filter(|_| cuda_driver()).unwrap_or((Device::flex(), "cpu"))),
            Self::Cuda if cuda(0).is_some() && !cuda_driver() => {
                bail!("there is no NVIDIA driver on this machine; use --device cpu")
            }
            Self::Cuda => match cuda(0) {
                Some(found) => Ok(found),
                None => bail!("this build has no CUDA; build with --features cuda or use --device cpu"),
            },
            Self::Wgpu => match wgpu() {
                Some(found) => Ok(found),
                None => bail!("this build has no wgpu training; build with --features wgpu or use --device cpu"),
            },
        }
    }
}

/// burn does not fall back when the driver is missing, so look first.
fn cuda_driver() -> bool {
    cfg!(windows) || std::path::Path::new("/dev/nvidiactl").exists()
}

fn cuda(number: usize) -> Option<(Device, &'static str)> {
    #[cfg(feature = "cuda")]
    return Some((Device::cuda(number), "cuda"));
    #[cfg(not(feature = "cuda"))]
    {
        let _ = number;
        None
    }
}

fn wgpu() -> Option<(Device, &'static str)> {
    #[cfg(feature = "wgpu")]
    return Some((Device::wgpu(Default::default()), "wgpu"));
    #[cfg(not(feature = "wgpu"))]
    None
}
