//! A small tree in each official layout, every photo a real one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use finegrain_native::data::DatasetKind::{Aircraft, Cars, Cub, Dogs, Folder, NaBirds};
use finegrain_native::data::detect::Layout::{self, Classes, Identities};
use finegrain_native::data::reid::ReidKind::{
    Cuhk03Detected, Cuhk03Labeled, DukeMtmc, Market1501, Msmt17V1, Msmt17V2, Veri776,
};

use crate::write;

/// Writes a tree into an empty folder.
pub(crate) type Tree = fn(&Path);

/// Every layout with what it is.
pub(crate) const ALL: [(&str, &[Layout], Tree); 13] = [
    ("aircraft", &[Classes(Aircraft)], aircraft),
    ("cars", &[Classes(Cars)], cars),
    ("cars above", &[Classes(Cars)], cars_above),
    ("cars in folders", &[Classes(Cars)], cars_folders),
    ("cub", &[Classes(Cub)], cub),
    ("dogs", &[Classes(Dogs)], dogs),
    ("folder", &[Classes(Folder)], folder),
    ("nabirds", &[Classes(NaBirds)], nabirds),
    ("market", &[Identities(Market1501)], market),
    ("duke", &[Identities(DukeMtmc)], duke),
    ("msmt17", &[Identities(Msmt17V1), Identities(Msmt17V2)], msmt17_both),
    ("veri", &[Identities(Veri776)], veri),
    ("cuhk03", &[Identities(Cuhk03Labeled), Identities(Cuhk03Detected)], cuhk03),
];

/// A tree in a folder of its own.
pub(crate) fn grow(tree: Tree) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path());
    folder
}

/// Writes a file and the folders above it.
pub(crate) fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Writes the same JPEG, 12 x 30 pixels, under each name.
pub(crate) fn photos(dir: &Path, names: &[&str]) {
    for name in names {
        put(&dir.join(name), jpeg());
    }
}

/// A JPEG of 12 x 30 pixels.
pub(crate) fn jpeg() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let image = image::RgbImage::from_fn(12, 30, |x, y| image::Rgb([20 * x as u8, 8 * y as u8, 90]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    })
}

/// Files under `dir` in order, relative to it.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path.strip_prefix(dir).unwrap().to_owned()) }
        }
    }
    found.sort();
    found
}

pub(crate) fn is_photo(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jpg" || extension == "png")
}

fn lists(dir: &Path, lists: &[(&str, &str)]) {
    for (name, text) in lists {
        put(&dir.join(name), text);
    }
}

pub(crate) fn cub(dir: &Path) {
    lists(
        dir,
        &[
            ("classes.txt", "1 001.Black_footed_Albatross\n2 002.Groove_billed_Ani\n"),
            (
                "images.txt",
                "1 001.Black_footed_Albatross/a.jpg\n2 002.Groove_billed_Ani/b c.jpg\n3 001.Black_footed_Albatross/d.jpg\n",
            ),
            ("image_class_labels.txt", "1 1\n2 2\n3 1\n"),
            ("train_test_split.txt", "1 1\n2 1\n3 0\n"),
        ],
    );
    let names =
        ["001.Black_footed_Albatross/a.jpg", "002.Groove_billed_Ani/b c.jpg", "001.Black_footed_Albatross/d.jpg"];
    photos(&dir.join("images"), &names);
}

/// Photos have long ids; classes are the leaves 3 and 4 of a tree whose other nodes are in the list too.
pub(crate) fn nabirds(dir: &Path) {
    lists(
        dir,
        &[
            ("classes.txt", "0 Birds\n1 Ducks, Geese, and Swans\n3 Tundra Swan\n4 Common Eider (Adult male)\n"),
            ("hierarchy.txt", "1 0\n3 1\n4 1\n"),
            ("images.txt", "0000139e-21dc 0003/a.jpg\n0000d9fc-4e02 0004/b.jpg\n00019306-9d83 0004/c.jpg\n"),
            ("image_class_labels.txt", "0000139e-21dc 3\n0000d9fc-4e02 4\n00019306-9d83 4\n"),
            ("train_test_split.txt", "0000139e-21dc 1\n0000d9fc-4e02 1\n00019306-9d83 0\n"),
        ],
    );
    photos(&dir.join("images"), &["0003/a.jpg", "0004/b.jpg", "0004/c.jpg"]);
}

pub(crate) fn aircraft(dir: &Path) {
    lists(
        &dir.join("data"),
        &[
            ("variants.txt", "707-320\nDC-9-30\nF/A-18\nModel B200\n"),
            ("images_variant_train.txt", "1025794 707-320\n0056978 Model B200\n"),
            ("images_variant_val.txt", "0062765 DC-9-30\n1514522 F/A-18\n"),
            ("images_variant_trainval.txt", "1025794 707-320\n0056978 Model B200\n0062765 DC-9-30\n1514522 F/A-18\n"),
            ("images_variant_test.txt", "1514523 Model B200\n"),
        ],
    );
    let names = ["1025794.jpg", "0056978.jpg", "0062765.jpg", "1514522.jpg", "1514523.jpg"];
    photos(&dir.join("data/images"), &names);
}

pub(crate) fn dogs(dir: &Path) {
    let train = [("n02085620-Chihuahua/n02085620_5927.jpg", 1), ("n02085782-Japanese_spaniel/n02085782_1.jpg", 2)];
    let test = [("n02085620-Chihuahua/n02085620_2650.jpg", 1)];
    put(&dir.join("train_list.mat"), write::dogs(&train));
    put(&dir.join("test_list.mat"), write::dogs(&test));
    photos(&dir.join("Images"), &[train[0].0, train[1].0, test[0].0]);
}

fn cars_with(dir: &Path, test_list: &str) {
    let names = [write::text("AM General Hummer SUV 2000"), write::text("Acura RL Sedan 2012")];
    put(&dir.join("devkit/cars_meta.mat"), write::file(&[write::cells("class_names", &names)], true));
    put(&dir.join("devkit/cars_train_annos.mat"), write::annotations(&[(2, "00001.jpg"), (1, "00002.jpg")]));
    put(&dir.join(test_list), write::annotations(&[(1, "00001.jpg")]));
    photos(dir, &["cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"]);
}

pub(crate) fn cars(dir: &Path) {
    cars_with(dir, "devkit/cars_test_annos_withlabels.mat");
}

pub(crate) fn cars_above(dir: &Path) {
    cars_with(dir, "cars_test_annos_withlabels.mat");
}

pub(crate) fn cars_folders(dir: &Path) {
    let dir = dir.join("car_data");
    photos(
        &dir,
        &[
            "train/AM General Hummer SUV 2000/00001.jpg",
            "train/Ram C-V Cargo Van Minivan 2012/00002.jpg",
            "test/Ram C-V Cargo Van Minivan 2012/00003.jpg",
        ],
    );
}

pub(crate) fn folder(dir: &Path) {
    photos(dir, &["train/red_rose/a.jpg", "train/iris/c.jpg", "test/iris/d.jpg"]);
}

pub(crate) fn market(dir: &Path) {
    photos(&dir.join("bounding_box_train"), &["0002_c1s1_000451_03.jpg", "0002_c6s1_1_00.jpg", "0007_c3s1_1_00.jpg"]);
    photos(&dir.join("query"), &["0001_c1s1_001051_00.jpg"]);
    let gallery = ["-1_c1s1_000401_03.jpg", "0000_c2s1_000151_01.jpg", "0001_c2s1_001976_01.jpg"];
    photos(&dir.join("bounding_box_test"), &gallery);
    put(&dir.join("query/Thumbs.db"), b"");
}

pub(crate) fn duke(dir: &Path) {
    photos(&dir.join("bounding_box_train"), &["0001_c2_f0046182.jpg", "0008_c8_f0026318.jpg"]);
    photos(&dir.join("query"), &["0005_c2_f0046985.jpg"]);
    photos(&dir.join("bounding_box_test"), &["0005_c5_f0052165.jpg", "3761_c6_f0183709.jpg"]);
}

pub(crate) fn veri(dir: &Path) {
    photos(&dir.join("image_train"), &["0001_c001_00016450_0.jpg", "0004_c020_00084445_0.jpg"]);
    photos(&dir.join("image_query"), &["0002_c002_00030600_0.jpg"]);
    photos(&dir.join("image_test"), &["0002_c003_00030610_0.jpg", "0002_c016_00031300_0.jpg"]);
}

pub(crate) fn cuhk03(dir: &Path) {
    for half in ["labeled", "detected"] {
        let dir = dir.join(half);
        photos(&dir.join("bounding_box_train"), &["0001_c1_1.png", "0001_c2_6.png", "0004_c1_2.png"]);
        photos(&dir.join("query"), &["0002_c1_3.png"]);
        photos(&dir.join("bounding_box_test"), &["0002_c2_8.png"]);
    }
}

fn msmt17_lists(dir: &Path, [train, test]: [&str; 2]) {
    let names = ["0000/0000_000_01_0303morning_0015_0.jpg", "0003/0003_000_15_0303noon_0008_1.jpg"];
    let tested = ["0000/0000_000_05_0303morning_0020_0.jpg", "0000/0000_001_07_0303morning_0021_0.jpg"];
    lists(
        dir,
        &[
            ("list_train.txt", &format!("{} 0\n", names[0])),
            ("list_val.txt", &format!("{} 3\n", names[1])),
            ("list_query.txt", &format!("{} 0\n", tested[0])),
            ("list_gallery.txt", &format!("{} 0\n", tested[1])),
        ],
    );
    photos(&dir.join(train), &names);
    photos(&dir.join(test), &tested);
}

pub(crate) fn msmt17_v1(dir: &Path) {
    msmt17_lists(dir, ["train", "test"]);
}

pub(crate) fn msmt17_v2(dir: &Path) {
    msmt17_lists(dir, ["mask_train_v2", "mask_test_v2"]);
}

fn msmt17_both(dir: &Path) {
    msmt17_v1(dir);
    msmt17_v2(dir);
}
