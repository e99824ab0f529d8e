//! What the engine needs to know of a shader, taken from naga: bindings, workgroup size, uniform layout; and the Rust code
//! that says so. Included by `build.rs` and by `tests/shaders.rs`.

use std::fmt::Write as _;

use naga::{AddressSpace, Scalar, ScalarKind, StorageAccess, TypeInner};

use crate::shaders::{Checked, Permutation, SUBGROUP, SUBGROUP_MATRIX};

/// Limits that every WebGPU device has.
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16 * 1024;
const MAX_STORAGE_BUFFERS: usize = 8;

/// One `@binding` of group 0.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// Its name in the shader.
    pub name: String,
    /// `Uniform`, `Read` or `ReadWrite`.
    pub access: &'static str,
    /// The shape that the comment behind the declaration states.
    pub shape: String,
}

/// What a shader binds and how it is dispatched.
#[derive(Debug)]
pub(crate) struct Reflection {
    /// In the order of their numbers, which run from 0 without a gap.
    pub bindings: Vec<Binding>,
    /// Threads of a workgroup.
    pub workgroup_size: [u32; 3],
    /// Rows and columns that a workgroup covers, of a shader that says so (`TILE_ROWS`, `TILE_COLUMNS`).
    pub tile: [u32; 2],
    /// The uniform struct.
    pub uniforms: Struct,
}

/// A uniform struct as WGSL lays it out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Struct {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u32,
    /// Name, Rust type, offset in bytes and comment of each field.
    pub fields: Vec<(String, &'static str, u32, String)>,
}

/// The comment at the end of the line that declares `name` (`prefix` tells fields from variables).
fn comment(text: &str, declares: impl Fn(&str) -> bool) -> String {
    text.lines()
        .filter_map(|line| line.split_once("//"))
        .find(|(code, _)| declares(code))
        .map(|(_, comment)| comment.trim().to_owned())
        .unwrap_or_default()
}

/// Reads a checked shader and holds it to the rules of the house.
pub(crate) fn reflect(name: &str, checked: &Checked) -> Result<Reflection, String> {
    let fail = |text: String| Err(format!("shader {name}: {text}"));
    let module = &checked.module;
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| format!("shader {name}: {error}"))?;
    let [entry] = module.entry_points.as_slice() else { return fail("expected exactly one entry point".into()) };
    if entry.name != "main" || entry.workgroup_size.iter().product::<u32>() > MAX_INVOCATIONS {
        return fail(format!("the entry point must be `main` with at most {MAX_INVOCATIONS} threads"));
    }
    let mut found = Vec::new();
    let mut uniforms = None;
    let mut workgroup_bytes = 0;
    for (_, variable) in module.global_variables.iter() {
        let variable_name = variable.name.clone().unwrap_or_default();
        if variable.space == AddressSpace::WorkGroup {
            workgroup_bytes += layouter[variable.ty].size.next_multiple_of(16);
        }
        let Some(binding) = variable.binding else { continue };
        let access = match variable.space {
            AddressSpace::Uniform => {
                uniforms = Some(read_struct(name, checked, &layouter, variable.ty)?);
                "Uniform"
            }
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => "ReadWrite",
            AddressSpace::Storage { .. } => "Read",
            _ => return fail(format!("`{variable_name}` is neither a uniform nor a storage buffer")),
        };
        let shape = comment(&checked.source.text, |code| {
            code.contains("@binding(") && code.contains(&format!(" {variable_name}:"))
        });
        if access != "Uniform" && !shape.starts_with('[') {
            return fail(format!("the line that binds `{variable_name}` needs its shape in a comment, as // [M, K]"));
        }
        found.push((binding, Binding { name: variable_name, access, shape }));
    }
    found.sort_by_key(|(binding, _)| (binding.group, binding.binding));
    if found.iter().enumerate().any(|(index, (at, _))| (at.group, at.binding as usize) != (0, index)) {
        return fail("bindings must be numbered from 0 without a gap, all in group 0".into());
    }
    let bindings: Vec<Binding> = found.into_iter().map(|(_, binding)| binding).collect();
    if bindings.iter().filter(|binding| binding.access != "Uniform").count() > MAX_STORAGE_BUFFERS {
        return fail(format!("more than {MAX_STORAGE_BUFFERS} storage buffers"));
    }
    if workgroup_bytes > MAX_WORKGROUP_BYTES {
        return fail(format!(
            "{workgroup_bytes} bytes of workgroup memory, at most {MAX_WORKGROUP_BYTES} are portable"
        ));
    }
    let Some(uniforms) = uniforms else { return fail("expected a uniform struct".into()) };
    if bindings.first().is_none_or(|first| first.access != "Uniform") {
        return fail("binding 0 must be the uniform struct".into());
    }
    let tile = ["TILE_ROWS", "TILE_COLUMNS"].map(|name| constant(module, name).unwrap_or(1));
    Ok(Reflection { bindings, workgroup_size: entry.workgroup_size, tile, uniforms })
}

/// The value of a WGSL constant.
fn constant(module: &naga::Module, name: &str) -> Option<u32> {
    let (_, constant) = module.constants.iter().find(|(_, constant)| constant.name.as_deref() == Some(name))?;
    match module.global_expressions[constant.init] {
        naga::Expression::Literal(naga::Literal::U32(value)) => Some(value),
        _ => None,
    }
}

fn read_struct(
    name: &str,
    checked: &Checked,
    layouter: &naga::proc::Layouter,
    ty: naga::Handle<naga::Type>,
) -> Result<Struct, String> {
    let ty_data = &checked.module.types[ty];
    let TypeInner::Struct { members, .. } = &ty_data.inner else {
        return Err(format!("shader {name}: the uniform must be a struct"));
    };
    let mut fields = Vec::new();
    for member in members {
        let field = member.name.clone().unwrap_or_default();
        let rust = match checked.module.types[member.ty].inner {
            TypeInner::Scalar(Scalar { kind: ScalarKind::Uint, width: 4 }) => "u32",
            TypeInner::Scalar(Scalar { kind: ScalarKind::Sint, width: 4 }) => "i32",
            TypeInner::Scalar(Scalar { kind: ScalarKind::Float, width: 4 }) => "f32",
            _ => return Err(format!("shader {name}: uniform field `{field}` must be u32, i32 or f32")),
        };
        let note = comment(&checked.source.text, |code| code.trim_start().starts_with(&format!("{field}:")));
        fields.push((field, rust, member.offset, note));
    }
    Ok(Struct { name: ty_data.name.clone().unwrap_or_default(), size: layouter[ty].size, fields })
}

impl Struct {
    /// The Rust twin, and the proof (at compile time) that it lies in memory as WGSL says; both under `condition` ([`condition`]).
    pub(crate) fn rust(&self, condition: &str) -> String {
        let Self { name, size, fields } = self;
        let mut code = String::new();
        code += condition;
        let _ = writeln!(code, "/// Twin of the WGSL struct of the same name.");
        let _ =
            writeln!(code, "#[repr(C)]\n#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]");
        let _ = writeln!(code, "pub struct {name} {{");
        for (field, ty, _, note) in fields {
            let note = if note.is_empty() { field } else { note };
            let _ = writeln!(code, "    /// {}", note.replace('[', "\\[").replace(']', "\\]"));
            let _ = writeln!(code, "    pub {field}: {ty},");
        }
        let _ = writeln!(code, "}}\n{condition}const _: () = {{");
        let _ = writeln!(code, "    assert!(std::mem::size_of::<{name}>() == {size});");
        for (field, _, offset, _) in fields {
            let _ = writeln!(code, "    assert!(std::mem::offset_of!({name}, {field}) == {offset});");
        }
        let _ = writeln!(code, "}};");
        code
    }
}

/// The Rust constant of one specialisation, whose text (see [`text`]) is in the constant `text`.
pub(crate) fn rust(permutation: &Permutation, checked: &Checked, reflection: &Reflection, text: &str) -> String {
    let mut code = String::new();
    let name = &permutation.name;
    let constants = checked.source.text.get(..checked.source.constants).unwrap_or_default();
    let _ = writeln!(code, "/// `shaders/{}.wgsl`, specialised as `{name}`.", permutation.kernel);
    code += condition(permutation);
    let _ = writeln!(code, "pub(super) static {}: Shader = Shader {{", name.to_uppercase());
    let _ = writeln!(code, "    name: {name:?},\n    constants: {constants:?},\n    wgsl: {text},");
    let _ = writeln!(code, "    workgroup_size: {:?},\n    tile: {:?},", reflection.workgroup_size, reflection.tile);
    let side = match (permutation.defines(SUBGROUP_MATRIX), permutation.defines("EIGHT")) {
        (false, _) => 0,
        (true, true) => 8,
        (true, false) => 16,
    };
    let _ = writeln!(code, "    matrix_units: {side},");
    let _ = writeln!(code, "    uniform_bytes: {},\n    bindings: &[", reflection.uniforms.size);
    for Binding { name, access, shape } in &reflection.bindings {
        let _ = writeln!(code, "        Binding {{ name: {name:?}, access: Access::{access}, shape: {shape:?} }},");
    }
    let _ = writeln!(code, "    ],\n}};");
    code
}

/// The line with the attribute of what only some builds need: wgpu's web back end hides subgroups and matrix units.
pub(crate) fn condition(permutation: &Permutation) -> &'static str {
    let native = permutation.defines(SUBGROUP) || permutation.defines(SUBGROUP_MATRIX);
    if native { "#[cfg(not(target_arch = \"wasm32\"))]\n" } else { "" }
}

/// What follows the constants, which specialisations that differ in nothing else share: without comments, indentation and
/// empty lines, because the wasm module carries it.
pub(crate) fn text(checked: &Checked) -> String {
    strip(checked.source.text.get(checked.source.constants..).unwrap_or_default())
}

fn strip(text: &str) -> String {
    let mut short = String::new();
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default().trim();
        if !code.is_empty() {
            short.push_str(code);
            short.push('\n');
        }
    }
    short
}
