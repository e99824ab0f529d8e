//! What is told of one run.

use anyhow::Result;
use maud::{Markup, PreEscaped, html};

use super::chart::{COLOURS, Scale, Series, curves, reliability};
use super::confused::{Look, Shown};
use super::facts::{self, percent};
use super::run::Run;
use crate::measure::{Branches, Calibrated, Measured, Ranking, Retrieval, Score};

/// All sections, those left out for which the run has no facts.
pub(super) fn sections(run: &Run, shown: &Shown) -> Result<Markup> {
    let measures = run.measures.as_ref();
    let (test, held_out) =
        (measures.and_then(|measures| measures.test.as_ref()), measures.and_then(|m| m.held_out.as_ref()));
    let best = test.or(held_out);
    let of = if test.is_some() { "test" } else { "held-out" };
    Ok(html! {
        (accuracy(run, test, held_out))
        @if let Some(retrieval) = measures.and_then(|measures| measures.retrieval.as_ref()) { (search(retrieval)) }
        (training(run)?)
        @if let Some(measured) = best {
            (calibration(run, measured, of)?)
            (confused(run, measured, of, shown))
            (classes(run, measured, of))
        }
        (origin(run))
    })
}

fn accuracy(run: &Run, test: Option<&Measured>, held_out: Option<&Measured>) -> Markup {
    let lists: Vec<(&str, &Measured)> =
        [("Test", test), ("Held out", held_out)].into_iter().filter_map(|(name, m)| Some((name, m?))).collect();
    let top1 = run.record.as_ref().and_then(|record| record.training.test_top1);
    html! {
        @if !lists.is_empty() {
            section {
                h2 { "Accuracy" }
                div.wide { table {
                    thead { tr { th { "Photos" } th { "" } th { "Top-1" } th { "Top-5" } } }
                    tbody {
                        @for (name, measured) in &lists {
                            (scores(name, measured))
                        }
                    }
                } }
                @for (name, measured) in &lists {
                    @if !measured.skipped.is_empty() {
                        p.warning { (name) ": " (measured.skipped.len()) " photos could not be used and are not counted." }
                    }
                }
            }
        } @else if let Some(top1) = top1 {
            section {
                h2 { "Accuracy" }
                div.wide { table {
                    thead { tr { th { "Test photos" } th { "Top-1" } } }
                    tbody {
                        tr { th { "Answer" } td.main { (percent(top1.answer)) } }
                        tr { th { "SA alone" } td { (percent(top1.sa)) } }
                        @if let Some(glca) = top1.glca { tr { th { "GLCA alone" } td { (percent(glca)) } } }
                    }
                } }
                p.note { "This run has no measures.json; with --data its test photos are measured now, class by class." }
            }
        }
    }
}

fn scores(name: &str, measured: &Measured) -> Markup {
    let row = |first: &str, branch: &str, score: Score| {
        html! {
            tr {
                th { (first) } td { (branch) }
                td.main { (percent(score.top1)) } td { (percent(score.top5)) }
            }
        }
    };
    html! {
        (row(&format!("{name} ({})", measured.photos), "Answer", measured.answer))
        (row("", "SA alone", measured.sa))
        @if let Some(glca) = measured.glca { (row("", "GLCA alone", glca)) }
    }
}

fn search(retrieval: &Retrieval) -> Markup {
    html! {
        section {
            h2 { "Retrieval" }
            p.note {
                (retrieval.query) " query photos search " (retrieval.gallery) " gallery photos. Photos of the query's own "
                "identity by its own camera do not count."
                @if retrieval.plain.answer.without_match > 0 {
                    " " (retrieval.plain.answer.without_match) " queries have no match in the gallery and are not counted."
                }
            }
            div.wide { table {
                thead { tr { th { "Ranked by" } th { "Feature" } th { "mAP" } th { "Rank-1" } th { "Rank-5" } th { "Rank-10" } th { "mINP" } } }
                tbody {
                    (rankings("Distance", &retrieval.plain))
                    @if let Some(reranked) = &retrieval.reranked { (rankings("Re-ranked", reranked)) }
                }
            } }
            @if !retrieval.skipped.is_empty() {
                p.warning { (retrieval.skipped.len()) " photos could not be used and are not counted." }
            }
        }
    }
}

fn rankings(name: &str, branches: &Branches) -> Markup {
    let row = |first: &str, branch: &str, ranking: Ranking| {
        html! {
            tr {
                th { (first) } td { (branch) } td.main { (percent(ranking.map)) }
                td { (percent(ranking.rank1)) } td { (percent(ranking.rank5)) } td { (percent(ranking.rank10)) }
                td { (percent(ranking.minp)) }
            }
        }
    };
    html! {
        @if let Some(glca) = branches.glca {
            (row(name, "SA and GLCA", branches.answer))
            (row("", "SA alone", branches.sa))
            (row("", "GLCA alone", glca))
        } @else {
            (row(name, "SA", branches.sa))
        }
    }
}

fn training(run: &Run) -> Result<Markup> {
    let history = &run.history;
    let loss = [
        Series { name: "batches", points: &history.loss, colour: 0 },
        Series { name: "mean of each epoch", points: &history.epoch_loss, colour: 1 },
        Series { name: "held-out photos", points: &history.held_out_loss, colour: 2 },
    ];
    let accuracy = [
        Series { name: "augmented training photos", points: &history.epoch_accuracy, colour: 0 },
        Series { name: "held-out photos", points: &history.held_out, colour: 2 },
    ];
    let rate = [Series { name: "learning rate", points: &history.rate, colour: 0 }];
    let charts = [
        ("Loss", &loss[..], Scale::Plain),
        ("Accuracy", &accuracy[..], Scale::Share),
        ("Learning rate", &rate[..], Scale::Exponent),
    ];
    let mut figures = Vec::new();
    for (title, series, scale) in charts {
        if let Some(svg) = curves(series, scale)? {
            let names = series.iter().filter(|series| !series.points.is_empty());
            figures.push((title, svg, names.map(|series| (series.name, series.colour)).collect::<Vec<_>>()));
        }
    }
    Ok(html! {
        @if !figures.is_empty() {
            section {
                h2 { "Training" }
                div.charts {
                    @for (title, svg, names) in &figures {
                        figure {
                            figcaption {
                                strong { (title) }
                                @for (name, colour) in names {
                                    span.key { span.chip style=(format!("background:{}", COLOURS[*colour].1)) {} (name) }
                                }
                            }
                            (PreEscaped(svg))
                        }
                    }
                }
            }
        }
    })
}

fn calibration(run: &Run, measured: &Measured, of: &str) -> Result<Markup> {
    let plain = reliability(&measured.reliability, 0)?;
    let calibration = run.measures.as_ref().and_then(|measures| measures.calibration);
    let after = match &measured.calibrated {
        Some(calibrated) => Some((reliability(&calibrated.reliability, 2)?, calibrated)),
        None => None,
    };
    Ok(html! {
        section {
            h2 { "Calibration" }
            p { "How often the " (of) " photos were named rightly, over how sure the network was of its answer (15 bins). On "
                "the line both are equal; the expected calibration error is the mean distance from it." }
            div.charts {
                figure {
                    figcaption { strong { "As trained" } span.key { "error " (percent(measured.ece)) } }
                    (PreEscaped(&plain))
                }
                @if let Some((svg, calibrated)) = &after {
                    figure {
                        figcaption {
                            strong { "With the temperature" } span.key { "error " (percent(calibrated.ece)) }
                        }
                        (PreEscaped(svg))
                    }
                }
            }
            @if let (Some(calibration), Some((_, calibrated))) = (calibration, &after) {
                (threshold(calibration.temperature, calibration.threshold, calibration.photos, calibrated, of))
            } @else {
                p.note { "No photos were held out of training, so there is no temperature and no threshold." }
            }
        }
    })
}

fn threshold(temperature: f32, threshold: f32, photos: usize, calibrated: &Calibrated, of: &str) -> Markup {
    html! {
        p {
            "Temperature " strong { (format!("{temperature:.4}")) } " and threshold " strong { (format!("{threshold:.4}")) }
            ", chosen on " (photos) " held-out photos so that 95 % of the right answers are kept. Of the " (of) " photos "
            (percent(calibrated.recognised)) " are recognised, and " (percent(calibrated.recognised_right))
            " of those are named rightly; " (percent(calibrated.kept)) " of the right answers are kept."
        }
    }
}

fn confused(run: &Run, measured: &Measured, of: &str, shown: &Shown) -> Markup {
    html! {
        @if !measured.confused.is_empty() {
            section {
                h2 { "Most confused" }
                @if !shown.pairs.is_empty() {
                    p.note { "Each photo as the network saw it, and where it looked (attention rollout, bright where it looked "
                        "most). The photos are those of the data set, whose terms then apply to this page too: read "
                        "them before you pass it on." }
                }
                ol.pairs {
                    @for (place, pair) in measured.confused.iter().enumerate() {
                        li {
                            p {
                                strong { (run.label(pair.right)) } " taken for " strong { (run.label(pair.named)) } ": "
                                (pair.photos) " of " (measured.per_class.get(pair.right).map_or(0, |class| class[1])) " "
                                (of) " photos"
                            }
                            @if let Some(photos) = shown.pairs.get(place) {
                                div.photos {
                                    (look(&photos.misnamed, &format!("{} named as {}", run.label(pair.right), run.label(pair.named))))
                                    @if let Some(other) = &photos.other {
                                        (look(other, &format!("A training photo of {}", run.label(pair.named))))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn look(look: &Look, title: &str) -> Markup {
    html! {
        figure.look {
            img src=(look.photo) alt=(title);
            img src=(look.heat) alt=(format!("{title}: where the network looked"));
            figcaption { (title) ", " (format!("{:.0}\u{a0}%", 100.0 * look.probability)) " sure" }
        }
    }
}

fn classes(run: &Run, measured: &Measured, of: &str) -> Markup {
    let share = |[right, photos]: [usize; 2]| right as f64 / photos as f64;
    let mut order: Vec<usize> =
        (0..measured.per_class.len()).filter(|&class| measured.per_class[class][1] > 0).collect();
    order.sort_by(|&a, &b| share(measured.per_class[a]).total_cmp(&share(measured.per_class[b])).then(a.cmp(&b)));
    let absent = measured.per_class.len() - order.len();
    html! {
        section {
            h2 { "Class by class" }
            p.note {
                "Rightly named " (of) " photos of each class, the worst first."
                @if absent > 0 { " " (absent) " classes have no " (of) " photo." }
            }
            ul.classes {
                @for class in order {
                    @let [right, photos] = measured.per_class[class];
                    li {
                        span.name { (run.label(class)) }
                        span.count { (right) " / " (photos) }
                        span.bar { span style=(format!("width:{:.1}%", 100.0 * share([right, photos]))) {} }
                    }
                }
            }
        }
    }
}

fn origin(run: &Run) -> Markup {
    html! {
        section {
            h2 { "How it was made" }
            table.facts {
                @for (name, value) in facts::facts(run) {
                    tr { th { (name) } td { (value) } }
                }
            }
            h3 { "The whole recipe" }
            pre { (run.recipe_text) }
        }
    }
}
