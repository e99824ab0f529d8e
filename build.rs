//! Checks every shader and writes what the engine needs to know of them: see `build/shaders.rs` and `build/reflect.rs`.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

#[path = "build/reflect.rs"]
mod reflect;
#[path = "build/shaders.rs"]
mod shaders;

fn main() {
    // Only the engine runs shaders.
    if std::env::var_os("CARGO_FEATURE_ENGINE").is_none() {
        println!("cargo::rerun-if-changed=build.rs");
        return;
    }
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    for path in ["build.rs", "build", "shaders"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let written = generate(&root).and_then(|code| {
        let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("shaders.rs");
        std::fs::write(&out, code).map_err(|error| vec![format!("{}: {error}", out.display())])
    });
    if let Err(errors) = written {
        for line in errors.iter().flat_map(|error| error.lines()) {
            println!("cargo::error={line}");
        }
        std::process::exit(1);
    }
}

/// The generated module, or every error of every shader.
fn generate(root: &Path) -> Result<String, Vec<String>> {
    let list = std::fs::read_to_string(root.join("shaders/permutations"))
        .map_err(|error| format!("shaders/permutations: {error}"))
        .and_then(|text| shaders::permutations(&text))
        .map_err(|error| vec![error])?;
    let mut errors = Vec::new();
    let mut structs: BTreeMap<String, reflect::Struct> = BTreeMap::new();
    // Texts, and the names of the constants that hold them.
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut digest = DefaultHasher::new();
    let mut code = String::from("// Written by build.rs.\n");
    for permutation in &list {
        let result = shaders::preprocess(root, permutation)
            .and_then(|source| shaders::check(permutation, source))
            .and_then(|checked| Ok((reflect::reflect(&permutation.name, &checked)?, checked)));
        match result {
            Ok((reflection, checked)) => {
                digest.write(checked.source.text.as_bytes());
                let text = reflect::text(&checked);
                let constant = texts.entry(text).or_insert_with_key(|text| {
                    let constant = format!("{}_TEXT", permutation.name.to_uppercase());
                    code += &format!("{}const {constant}: &str = {text:?};\n", reflect::condition(permutation));
                    constant
                });
                code += &reflect::rust(permutation, &checked, &reflection, constant);
                // The specialisations of a kernel share its uniform struct; two kernels must not share a name.
                if let Some(other) = structs.get(&reflection.uniforms.name) {
                    if *other != reflection.uniforms {
                        errors.push(format!("uniform struct {} has two layouts", other.name));
                    }
                } else {
                    code += &reflection.uniforms.rust(reflect::condition(permutation));
                    structs.insert(reflection.uniforms.name.clone(), reflection.uniforms);
                }
            }
            Err(error) => errors.push(error),
        }
    }
    code += &format!(
        "/// Changes with any shader.\npub(in crate::engine) const DIGEST: &str = \"{:016x}\";\n",
        digest.finish()
    );
    // A kernel that no line names would never be checked.
    for entry in std::fs::read_dir(root.join("shaders")).into_iter().flatten().flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|ext| ext == "wgsl") && list.iter().all(|p| p.kernel != stem) {
            errors.push(format!("shaders/{stem}.wgsl: no line of shaders/permutations names this kernel"));
        }
    }
    if errors.is_empty() { Ok(code) } else { Err(errors) }
}
