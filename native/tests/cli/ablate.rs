//! `finegrain ablate` on generated photos: every variant is really trained, and a second call repeats nothing.

use std::fs;
use std::time::SystemTime;

use crate::program::{finegrain, json, refusal};
use crate::report::photo;

#[test]
fn the_table_holds_every_variant_and_is_not_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (split, count) in [("train", 4), ("test", 2)] {
        for class in 0..3 {
            let photos = path("data").join(split).join(format!("class_{class}"));
            fs::create_dir_all(&photos).unwrap();
            for i in 0..count {
                photo(class, i).save(photos.join(format!("{i}.png"))).unwrap();
            }
        }
    }
    let recipe = include_str!("../fixtures/tiny.toml").replace("epochs = 4", "epochs = 1");
    fs::write(path("tiny.toml"), &recipe).unwrap();
    let ablate = || {
        let mut command = finegrain(["ablate", "--device", "cpu", "--seeds", "4,5"]);
        command.arg(path("tiny.toml")).arg("--data").arg(path("data")).arg("--out").arg(path("runs"));
        command
    };
    let table = json(&mut ablate());
    let rows = table["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["mechanism"].as_str().unwrap()).collect();
    assert!(names[0] == "baseline" && names[2] == "+ PWCA" && names.len() == 4, "{names:?}");
    for row in rows {
        assert_eq!(row["runs"].as_array().unwrap().len(), 2);
        let mean = row["answer"]["mean"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&mean) && row["answer"]["deviation"].is_number());
        assert_eq!(row["glca"].is_null(), !row["mechanism"].as_str().unwrap().contains("GLCA"));
    }
    let markdown = fs::read_to_string(path("runs/table.md")).unwrap();
    assert_eq!(markdown.lines().count(), 6, "{markdown}");
    assert!(fs::read_to_string(path("runs/table.csv")).unwrap().lines().count() == 1 + 4 * 2 + 2);

    let written = |run: &str| -> SystemTime {
        fs::metadata(path("runs").join(run).join("run.json")).unwrap().modified().unwrap()
    };
    let before = written("dcal-5");
    // One run is missing, as after an interruption: only that one is made again.
    let lost = fs::read(path("runs/glca-4/model.safetensors")).unwrap();
    fs::remove_dir_all(path("runs/glca-4")).unwrap();
    assert_eq!(json(&mut ablate()), table);
    assert_eq!(written("dcal-5"), before);
    assert!(fs::read(path("runs/glca-4/model.safetensors")).unwrap() == lost, "the same seed, the same weights");

    let mut plain = finegrain(["ablate", "--set", "model.mechanism={ name = \"none\" }"]);
    plain.arg(path("tiny.toml")).arg("--data").arg(path("data")).arg("--out").arg(path("none"));
    assert!(refusal(&mut plain).contains("mechanism"));

    let compare = |variants: &[&str]| {
        let mut command = finegrain(["ablate", "--device", "cpu", "--seeds", "4"]);
        command.arg(path("tiny.toml")).arg("--data").arg(path("data")).arg("--out").arg(path("compared"));
        for variant in variants {
            command.args(["--variant", variant]);
        }
        command
    };
    let none = "none={ name = \"none\" }";
    for (variants, said) in [
        ([none, none], "two variants are called none"),
        ([none, "rga={ name = \"rga\", ratio = 2, spatial = true, channel = true, after = [9] }"], "variant rga"),
    ] {
        assert!(refusal(&mut compare(&variants)).contains(said), "{said}");
    }
    assert!(!path("compared").exists(), "refused before anything is trained");
    let rga = "rga-all={ name = \"rga\", ratio = 2, spatial = true, channel = true, after = [1] }";
    let compared = json(&mut compare(&[none, rga]));
    let names: Vec<&str> =
        compared["rows"].as_array().unwrap().iter().map(|row| row["mechanism"].as_str().unwrap()).collect();
    assert_eq!(names, ["baseline", "RGA-SC after 1"]);
    assert!(path("compared/rga-all-4/model.safetensors").exists());
}
