//! The preprocessor and the checks that build.rs runs: a broken shader is reported under the file and the line that a
//! person wrote.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

#[path = "../build/reflect.rs"]
mod reflect;
#[path = "../build/shaders.rs"]
mod shaders;

use shaders::{Permutation, Source};

/// A folder with `shaders/test.wgsl` and `shaders/shared/common.wgsl`.
fn root(kernel: &str, common: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("shaders/shared")).unwrap();
    std::fs::write(root.path().join("shaders/test.wgsl"), kernel).unwrap();
    std::fs::write(root.path().join("shaders/shared/common.wgsl"), common).unwrap();
    root
}

fn permutation(defines: &[(&str, Option<&str>)]) -> Permutation {
    let defines = defines.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
    Permutation { kernel: "test".into(), name: "test".into(), defines }
}

fn preprocess(root: &Path, defines: &[(&str, Option<&str>)]) -> Result<Source, String> {
    shaders::preprocess(root, &permutation(defines))
}

/// Preprocessed, parsed, validated, reflected.
fn build(kernel: &str, common: &str) -> Result<reflect::Reflection, String> {
    let root = root(kernel, common);
    let checked = shaders::check(&permutation(&[]), preprocess(root.path(), &[])?)?;
    let reflection = reflect::reflect("test", &checked)?;
    // What is written for the engine carries no comments.
    let (rust, text) = (reflect::rust(&permutation(&[]), &checked, &reflection, "TEXT"), reflect::text(&checked));
    assert!(rust.contains("pub(super) static TEST: Shader") && rust.contains("wgsl: TEXT,"), "{rust}");
    assert!(text.contains("count: u32,") && !text.contains("// how many"), "{text}");
    Ok(reflection)
}

const GOOD: &str = "\
#import common
struct TestUniforms {
    count: u32, // how many
    scale: f32,
    offset: i32,
}
@group(0) @binding(0) var<uniform> u: TestUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [M]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [M]
@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < u.count {
        y[id.x] = twice(x[id.x]) * u.scale;
    }
}
";
const COMMON: &str = "// Twice.\nfn twice(x: f32) -> f32 {\n    return x + x;\n}\n";

#[test]
fn a_good_shader_is_reflected() {
    let reflection = build(GOOD, COMMON).unwrap();
    assert_eq!(reflection.workgroup_size, [8, 4, 1]);
    let bindings: Vec<_> = reflection.bindings.iter().map(|b| (b.name.as_str(), b.access, b.shape.as_str())).collect();
    assert_eq!(bindings, [("u", "Uniform", ""), ("x", "Read", "[M]"), ("y", "ReadWrite", "[M]")]);
    assert_eq!(reflection.uniforms.size, 12);
    let twin = reflection.uniforms.rust("");
    for line in [
        "    /// how many",
        "    pub count: u32,",
        "    pub scale: f32,",
        "    pub offset: i32,",
        "    assert!(std::mem::size_of::<TestUniforms>() == 12);",
        "    assert!(std::mem::offset_of!(TestUniforms, offset) == 8);",
    ] {
        assert!(twin.lines().any(|found| found == line), "{line}\n{twin}");
    }
}

#[test]
fn a_broken_shader_is_reported_where_it_was_written() {
    // In the kernel itself: line 13, although the import put four lines before it.
    let error = build(&GOOD.replace("* u.scale", "* u.size"), COMMON).unwrap_err();
    assert!(error.contains("--> shaders/test.wgsl:13:") && error.contains("13 |         y[id.x]"), "{error}");
    // In the imported file: a syntax error, then one that only validation finds.
    let error = build(GOOD, &COMMON.replace("x + x;", "x + ;")).unwrap_err();
    assert!(error.contains("--> shaders/shared/common.wgsl:3:"), "{error}");
    let error = build(GOOD, &COMMON.replace("return x + x;", "return u.count;")).unwrap_err();
    assert!(error.contains("--> shaders/shared/common.wgsl:"), "{error}");
}

#[test]
fn the_rules_of_the_house_are_kept() {
    for (change, with, expected) in [
        (" // [M]\n@group(0) @binding(2)", "\n@group(0) @binding(2)", "needs its shape"),
        ("@binding(2)", "@binding(3)", "without a gap"),
        ("@workgroup_size(8, 4)", "@workgroup_size(32, 16)", "at most 256 threads"),
        ("    scale: f32,", "    scale: vec2<f32>,", "must be u32, i32 or f32"),
    ] {
        let error = build(&GOOD.replacen(change, with, 1).replace("* u.scale", ""), COMMON).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let greedy =
        format!("var<workgroup> big: array<f32, 5000>;\n{}", GOOD.replace("y[id.x] =", "big[0] = 1.0; y[id.x] ="));
    assert!(build(&greedy, COMMON).unwrap_err().contains("20000 bytes of workgroup memory"));
}

#[test]
fn defines_switch_and_become_constants() {
    let kernel = "#import common\n#import common\n#ifdef A\nline a\n#else\nline b\n#endif\n#ifndef A\nline c\n#endif\n";
    let root = root(kernel, "shared line\n");
    assert_eq!(preprocess(root.path(), &[]).unwrap().text, "shared line\nline b\nline c\n");
    let source = preprocess(root.path(), &[("A", None), ("SIZE", Some("4u"))]).unwrap();
    assert_eq!(source.text, "const SIZE = 4u;\nshared line\nline a\n");
    assert_eq!(&source.text[..source.constants], "const SIZE = 4u;\n");
    assert_eq!(source.origin[2], ("shaders/test.wgsl".into(), 4));
}

#[test]
fn a_tile_is_what_the_constants_say() {
    let kernel =
        GOOD.replace("#import common", "#import common\nconst TILE_ROWS = 2u * SIDE;\nconst TILE_COLUMNS = 8u;");
    let root = root(&kernel, COMMON);
    let sizes = [("SIDE", Some("4u"))];
    let checked = shaders::check(&permutation(&sizes), preprocess(root.path(), &sizes).unwrap()).unwrap();
    assert_eq!(reflect::reflect("test", &checked).unwrap().tile, [8, 8]);
    // The constants are not in the text, which other sizes share.
    let text = reflect::text(&checked);
    assert!(text.contains("const TILE_ROWS = 2u * SIDE;") && !text.contains("const SIDE"), "{text}");
    assert_eq!(build(GOOD, COMMON).unwrap().tile, [1, 1]);
}

#[test]
fn subgroups_are_for_those_who_define_them() {
    let root = root(&GOOD.replace("twice(x[id.x])", "subgroupAdd(x[0])"), COMMON);
    let check = |defines: &[(&str, Option<&str>)]| {
        shaders::check(&permutation(defines), preprocess(root.path(), defines).unwrap())
    };
    assert!(check(&[]).err().unwrap().contains("shaders/test.wgsl"));
    let checked = check(&[("SUBGROUP", None)]).unwrap();
    let reflection = reflect::reflect("test", &checked).unwrap();
    let rust = reflect::rust(&permutation(&[("SUBGROUP", None)]), &checked, &reflection, "TEXT");
    assert!(rust.contains("#[cfg(not(target_arch = \"wasm32\"))]"), "{rust}");
}

#[test]
fn wrong_directives_are_named() {
    for (kernel, expected) in [
        ("#import missing\n", "shaders/test.wgsl:1: there is no shaders/shared/missing.wgsl"),
        ("\n#ifdef A\n", "shaders/test.wgsl:2: #ifdef without #endif"),
        ("#endif\n", "shaders/test.wgsl:1: #endif without #ifdef"),
        ("#else\n", "shaders/test.wgsl:1: #else without #ifdef"),
        ("#include x\n", "shaders/test.wgsl:1: unknown directive \"#include x\""),
    ] {
        assert_eq!(preprocess(root(kernel, "").path(), &[]).unwrap_err(), expected);
    }
}

#[test]
fn the_list_of_permutations_is_read() {
    let list = shaders::permutations("# comment\nmatmul\n+ matmul\n+ matmul_gelu: GELU TILE=4u\n").unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!((list[1].kernel.as_str(), list[1].name.as_str()), ("matmul", "matmul_gelu"));
    assert_eq!(list[1].defines, [("GELU".to_owned(), None), ("TILE".to_owned(), Some("4u".to_owned()))]);
    let text = "matmul\n+ matmul\n+ matmul_gelu: GELU\n* : SIDE=8u\n* small: SIDE=4u\nsoftmax\n+ softmax\n";
    let list = shaders::permutations(text).unwrap();
    let names: Vec<&str> = list.iter().map(|permutation| permutation.name.as_str()).collect();
    assert_eq!(names, ["matmul", "matmul_gelu", "matmul_small", "matmul_gelu_small", "softmax"]);
    assert_eq!(list[3].defines, [("GELU".to_owned(), None), ("SIDE".to_owned(), Some("4u".to_owned()))]);
    assert!(list[4].defines.is_empty(), "the stars are another kernel's");
    assert!(shaders::permutations("+ orphan\n").unwrap_err().starts_with("shaders/permutations:1:"));
    for twice in ["a\n+ x\n+ x\n", "a\n+ x\n+ x_y\n* :\n* y:\n"] {
        assert!(shaders::permutations(twice).unwrap_err().contains("used twice"));
    }
}

/// The repository's own shaders, as build.rs checks them.
#[test]
fn every_kernel_of_the_repository_is_listed_and_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("shaders/permutations")).unwrap();
    for permutation in shaders::permutations(&text).unwrap() {
        let source = shaders::preprocess(root, &permutation).unwrap();
        let checked = shaders::check(&permutation, source).unwrap();
        let reflection = reflect::reflect(&permutation.name, &checked).unwrap();
        assert!(reflection.uniforms.name.ends_with("Uniforms"), "{}", permutation.name);
    }
}
