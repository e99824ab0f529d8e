//! Every kind of photo, good and bad.

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::page::Page;
use finegrain_page_tests::photos::{Photos, sample};
use finegrain_page_tests::program;
use finegrain_page_tests::site::Site;
use image::DynamicImage;

use crate::answers::{OTHER_DECODER, SAME_PIXELS, agree};

/// A kind of photo and how to make it from a sample.
type Kind = (&'static str, fn(&Photos) -> Result<std::path::PathBuf>, f64);

#[test]
fn every_kind_of_photo_gets_the_programs_answer() -> Result<()> {
    let kinds: [Kind; 6] = [
        ("JPEG", |photos| photos.jpeg("mallard.png"), OTHER_DECODER),
        ("JPEG on its side", |photos| photos.lying_jpeg("mallard.png"), OTHER_DECODER),
        ("JPEG in CMYK", |photos| photos.cmyk_jpeg("mallard.png"), OTHER_DECODER),
        ("grey PNG", |photos| photos.png("mallard.png", |photo| photo.into_luma8().into()), SAME_PIXELS),
        ("16-bit PNG", |photos| photos.png("mallard.png", |photo| photo.into_rgb16().into()), SAME_PIXELS),
        ("PNG with alpha", |_| Ok(sample("mallard.png")), SAME_PIXELS),
    ];
    let (browser, site, photos) = (Browser::start(Options::default())?, Site::start()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    for (kind, make, tolerance) in kinds {
        let photo = make(&photos)?;
        let view = page.upload(&photo)?;
        agree(&view, &program::classify("birds", &photo)?, tolerance).with_context(|| kind)?;
    }
    Ok(())
}

#[test]
fn a_photo_on_its_side_gets_the_answer_of_the_upright_one() -> Result<()> {
    let (browser, site, photos) = (Browser::start(Options::default())?, Site::start()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    let lying = page.upload(&photos.lying_jpeg("mallard.png")?)?;
    // Both files are compressed on their own, so their pixels differ a little.
    agree(&lying, &program::classify("birds", &photos.jpeg("mallard.png")?)?, OTHER_DECODER)
}

#[test]
fn a_bad_file_gets_a_sentence_and_the_page_stays_usable() -> Result<()> {
    let (browser, site, photos) = (Browser::start(Options::default())?, Site::start()?, Photos::new()?);
    let (page, _) = Page::open(&browser, &site.page("model=birds&backend=cpu"))?;
    let bad = [
        photos.file("text.jpg", b"These are words, not a photo.\n")?,
        photos.file("empty.png", b"")?,
        photos.truncated_jpeg("mallard.png")?,
        photos.png("mallard.png", |_| DynamicImage::new_luma8(12_000, 9_000))?,
    ];
    for file in bad {
        let view = page.upload(&file)?;
        ensure!(view.state == "error", "{} was taken for a photo: {:?}", file.display(), view.predictions);
        ensure!(view.is_clear(), "{}: not a clear sentence: {}", file.display(), view.status);
        println!("{}: {}", file.display(), view.status);

        let good = page.upload(&sample("mallard.png"))?;
        ensure!(good.state == "ready" && good.predictions.len() == 5, "unusable afterwards: {}", good.status);
    }
    Ok(())
}
