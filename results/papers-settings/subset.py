"""A folder data set of links: the first photos of every 16th of the 196 car models, train/<class>/* and test/<class>/*."""
import os, sys
from pathlib import Path
from scipy.io import loadmat
root, out = Path(sys.argv[1]), Path(sys.argv[2])
names = [str(n[0]) for n in loadmat(root / "devkit/cars_meta.mat")["class_names"][0]]
photos = {}
for a in loadmat(root / "devkit/cars_train_annos.mat")["annotations"][0]:
    path = root / "cars_train" / str(a["fname"][0])
    if path.exists():
        photos.setdefault(int(a["class"][0][0]), []).append(path)
for label in range(1, 197, 16):
    for split, part in [("train", photos[label][:16]), ("test", photos[label][16:20])]:
        folder = out / split / names[label - 1].replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        for path in part:
            os.symlink(path, folder / path.name)
