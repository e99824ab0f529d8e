//! Training photos that training does not see.

use finegrain_native::data::{Dataset, Sample};

#[test]
fn held_out_photos_are_a_share_of_the_training_photos() {
    let samples =
        |class: usize, count: usize| (0..count).map(move |i| Sample::new(format!("{class}/{i}").into(), class));
    let whole = Dataset {
        labels: vec!["a".into(), "b".into(), "c".into()],
        train: samples(0, 40).chain(samples(1, 5)).chain(samples(2, 1)).collect(),
        ..Dataset::default()
    };
    let split = |share: f64, seed: u64| {
        let mut data = whole.clone();
        data.hold_out(share, seed);
        (data.train, data.held_out)
    };
    let (train, held_out) = split(0.1, 3);
    assert_eq!((train.len(), held_out.len()), (41, 5), "rounded over all classes");
    assert!(held_out.iter().filter(|s| s.class == 0).count() >= 4, "as many of a class as its share");
    assert!(train.iter().any(|s| s.class == 2), "a class keeps a photo");
    assert!(held_out.iter().all(|s| !train.contains(s)));
    assert_eq!(split(0.1, 3).1, held_out);
    assert_ne!(split(0.1, 4).1, held_out);
    assert_eq!(split(0.0, 3), (whole.train.clone(), Vec::new()));
    assert_eq!(split(0.9, 3).0.iter().filter(|s| s.class == 2).count(), 1);
}
