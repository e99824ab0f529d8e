// A photo from a link. It is asked for when a person presses the button, and never before.

const LIMIT = 64_000_000; // `MAX_PIXELS` in src/photo
const PATIENCE = 30_000;

/**
 * @param {HTMLDialogElement} dialog
 * @param {(photo: Promise<File>) => void} take
 * @returns {(address?: string) => void} opens the dialog
 */
export function linkDialog(dialog, take) {
  const [field, said] = [dialog.querySelector("input"), dialog.querySelector("[role=alert]")];
  const button = dialog.querySelector("button[type=submit]");
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    said.textContent = "";
    button.disabled = true;
    try {
      const photo = await fetchPhoto(field.value.trim());
      if (!dialog.open) return; // given up meanwhile
      dialog.close();
      take(Promise.resolve(photo));
    } catch (error) {
      said.textContent = `${error.message}.`;
    } finally {
      button.disabled = false;
    }
  });
  dialog.querySelector("[data-action=cancel]").addEventListener("click", () => dialog.close());
  return (address = "") => {
    field.value = address;
    said.textContent = "";
    if (!dialog.open) dialog.showModal();
    (address ? button : field).focus();
  };
}

/**
 * The photo at an address. It comes as an image and not through `fetch`: so the page may go on being forbidden every other
 * request to other sites (`connect-src 'self'`). Neither cookies nor this page's address go with the question.
 * @returns {Promise<File>}
 */
async function fetchPhoto(text) {
  let address;
  try {
    address = new URL(text);
  } catch {
    throw new Error("This is no address; it must begin with https:// and name an image");
  }
  if (!["https:", "http:"].includes(address.protocol)) {
    throw new Error("Only addresses that begin with https:// or http:// can be fetched; save the photo and drop it on the page");
  }
  const image = new Image();
  image.crossOrigin = "anonymous";
  image.referrerPolicy = "no-referrer";
  image.src = address.href;
  await loaded(image, address);
  const { naturalWidth: width, naturalHeight: height } = image;
  if (!(width > 0 && height > 0) || width * height > LIMIT) {
    throw new Error(`The image has ${width} x ${height} pixels, and at most ${LIMIT / 1e6} megapixels can be used; make it smaller and drop it on the page`);
  }
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  context?.drawImage(image, 0, 0);
  // Without loss: what is classified is what the site sent.
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error("The browser has no memory left for this photo; make it smaller and drop it on the page");
  return new File([blob], nameOf(address), { type: "image/png" });
}

function nameOf({ pathname, host }) {
  const last = pathname.split("/").pop() || host;
  try {
    return decodeURIComponent(last);
  } catch {
    return last; // a percent sign that is one
  }
}

async function loaded(image, { host }) {
  const late = new Promise((_, reject) => setTimeout(reject, PATIENCE));
  try {
    await Promise.race([image.decode(), late]);
  } catch {
    image.src = "";
    // A browser does not tell a page which of these it is.
    throw new Error(
      `The photo could not be had from ${host}: there is no image at this address, or the site does not let other pages read it; save the photo and drop it on this page`,
    );
  }
}
