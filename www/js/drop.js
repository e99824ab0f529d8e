// What a drop holds: files, and the files of folders.

/** More is not looked for in a folder. */
const MOST = 5000;

/**
 * @param {DataTransfer} transfer
 * @returns {Promise<File[]>} the files themselves, and of folders the photos, or of the folder that has a manifest.json
 *   (a bundle) all of its files
 * @throws where a folder holds neither, or cannot be read
 */
export async function filesOfDrop(transfer) {
  // Both lists are empty once the event is over.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...transfer.files];
  const folders = entries.filter(({ isDirectory }) => isDirectory);
  if (folders.length === 0) return plain;
  const found = [];
  for (const folder of folders) await walk(folder, found);
  const bundle = found.find(({ name }) => name === "manifest.json");
  if (bundle) return Promise.all(found.filter(({ within }) => within === bundle.within).map(fileOf));
  const files = await Promise.all(found.map(fileOf));
  const single = await Promise.all(entries.filter(({ isFile }) => isFile).map((entry) => fileOf({ entry })));
  const photos = [...single, ...files.filter(({ type }) => type.startsWith("image/"))];
  if (photos.length === 0) throw new Error("this folder holds no photos, and no bundle with its manifest.json; drop another one");
  return photos;
}

async function walk(folder, found) {
  const reader = folder.createReader();
  const inner = [];
  for (;;) {
    // A reader gives a hundred at a time, and none in the end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)).catch(() => []);
    if (some.length === 0) break;
    for (const entry of some) {
      if (found.length >= MOST) return;
      if (entry.name.startsWith(".")) continue;
      if (entry.isDirectory) inner.push(entry);
      else found.push({ entry, name: entry.name, within: folder.fullPath });
    }
  }
  for (const entry of inner) await walk(entry, found);
}

function fileOf({ entry }) {
  return new Promise((resolve, reject) => entry.file(resolve, reject)).catch((error) => {
    throw new Error(`"${entry.name}" cannot be read (${error.message}); drop it again`);
  });
}
