//! The page around the sections.

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::ablation::{Size, differences, measure, rows};
use super::confused::Shown;
use super::{Run, facts, sections};

/// The whole page. One run is shown in full; several begin with the table that compares them.
pub(super) fn page(about: &[(&Run, &Shown)]) -> Result<String> {
    let runs: Vec<&Run> = about.iter().map(|(run, _)| *run).collect();
    let title = match &runs[..] {
        [run] => run.title(),
        runs => format!("{} runs", runs.len()),
    };
    let mut parts = Vec::new();
    for (run, shown) in about {
        parts.push((run, sections::sections(run, shown)?));
    }
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – finegrain report" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                header {
                    h1 { (title) }
                    @if let [run] = runs[..] {
                        p.result { (facts::result(run)) }
                    }
                }
                main {
                    @if runs.len() > 1 {
                        (ablation(&runs))
                    }
                    @for (run, part) in &parts {
                        @if runs.len() > 1 {
                            details {
                                summary { strong { (run.name) } " – " (facts::result(run)) }
                                (part)
                            }
                        } @else {
                            (part)
                        }
                    }
                }
            }
        }
    };
    Ok(page.into_string())
}

fn ablation(runs: &[&Run]) -> Markup {
    let differences = differences(runs);
    html! {
        section {
            h2 { "Ablation" }
            p { "Test photos, " (measure(runs)) " in percent: mean and standard deviation over the runs (seeds) of each mechanism. "
                "SA and GLCA alone are the same networks with one branch's answer." }
            div.wide {
                table.ablation {
                    thead { tr { th { "Mechanism" } th { "Runs" } th { "Answer" } th { "SA alone" } th { "GLCA alone" }
                        th { "Parameters, 10" sup { "6" } } th { "Operations a photo, 10" sup { "9" } } } }
                    tbody {
                        @for row in rows(runs) {
                            tr {
                                th { (row.mechanism) }
                                td { (row.runs.len()) }
                                td.main { (facts::spread(row.answer)) }
                                td { (facts::spread(row.sa)) }
                                td { (facts::spread(row.glca)) }
                                @for cell in Size::cells(row.size) { td { (cell) } }
                            }
                            @let names: Vec<String> =
                                row.runs.iter().map(|(name, seed)| format!("{name} (seed {seed})")).collect();
                            tr.note {
                                td colspan="7" {
                                    (names.join(", "))
                                    @if !row.left_out.is_empty() {
                                        @if !names.is_empty() { "; " }
                                        "not counted, unfinished or without test photos: " (row.left_out.join(", "))
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if !differences.is_empty() {
                p.warning { "These runs also differ in " (differences.join(", ")) ": not all of the distance comes from "
                    "the mechanism." }
            }
        }
    }
}
