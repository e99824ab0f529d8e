//! How many photos and classes the data sets have, as their authors count them.
//!
//! Sources: Wah et al., CNS-TR-2011-001 (CUB); Krause et al., 3dRR 2013 (Cars); Maji et al., arXiv 1306.5151 (Aircraft);
//! Khosla et al., FGVC 2011 (Dogs); Van Horn et al., CVPR 2015 (NABirds); Zheng et al., ICCV 2015 (Market-1501); Zheng et
//! al., ICCV 2017 (DukeMTMC-reID); Wei et al., CVPR 2018 (MSMT17); Liu et al., ECCV 2016 (VeRi-776); Zhong et al., CVPR
//! 2017 (CUHK03-NP).

use super::DatasetKind;
use super::detect::Layout;
use super::reid::ReidKind;

/// One split of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Photos that count; Market-1501's junk does not, its distractors do.
    pub photos: usize,
    /// Classes or identities that the photos show; distractors are nobody.
    pub classes: usize,
}

/// The official counts of training and test, or of training, query and gallery; `None` for anybody's own folders.
pub fn counts(layout: Layout) -> Option<Vec<Counts>> {
    match layout {
        Layout::Classes(kind) => classes(kind).map(Vec::from),
        Layout::Identities(kind) => Some(identities(kind).into()),
    }
}

fn count(photos: usize, classes: usize) -> Counts {
    Counts { photos, classes }
}

fn classes(kind: DatasetKind) -> Option<[Counts; 2]> {
    match kind {
        DatasetKind::Aircraft => Some([count(6_667, 100), count(3_333, 100)]),
        DatasetKind::Cars => Some([count(8_144, 196), count(8_041, 196)]),
        DatasetKind::Cub => Some([count(5_994, 200), count(5_794, 200)]),
        DatasetKind::Dogs => Some([count(12_000, 120), count(8_580, 120)]),
        DatasetKind::NaBirds => Some([count(23_929, 555), count(24_633, 555)]),
        DatasetKind::Folder => None,
    }
}

fn identities(kind: ReidKind) -> [Counts; 3] {
    match kind {
        ReidKind::Market1501 => [count(12_936, 751), count(3_368, 750), count(15_913, 750)],
        ReidKind::DukeMtmc => [count(16_522, 702), count(2_228, 702), count(17_661, 1_110)],
        ReidKind::Msmt17V1 | ReidKind::Msmt17V2 => [count(32_621, 1_041), count(11_659, 3_060), count(82_161, 3_060)],
        ReidKind::Veri776 => [count(37_778, 576), count(1_678, 200), count(11_579, 200)],
        ReidKind::Cuhk03Labeled => [count(7_368, 767), count(1_400, 700), count(5_328, 700)],
        ReidKind::Cuhk03Detected => [count(7_365, 767), count(1_400, 700), count(5_332, 700)],
    }
}
