//! `finegrain measure`: what `measures.json` holds.

use std::path::PathBuf;

use anyhow::Result;

use super::Outcome;
use super::output::Output;
use crate::measure::{Branches, Ranking, Rerank};
use crate::report;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of a finished training run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder of the data set that it was trained on
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Also rank again by k-reciprocal neighbours (Zhong et al., 2017; k1 = 20, k2 = 6, lambda = 0.3)
    #[arg(long)]
    rerank: bool,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let measures = report::measure(&args.run, &args.data, args.rerank.then(Rerank::default))?;
    output.print(&measures, |measures| {
        let about = |name: &str, measured: &Option<crate::measure::Measured>| {
            measured.as_ref().map(|m| format!("{name}: {:.2} % top-1 of {} photos\n", 100.0 * m.answer.top1, m.photos))
        };
        let ranked = |name: &str, branches: &Branches| {
            let Ranking { map, rank1, rank5, rank10, minp, queries, .. } = branches.answer;
            let [map, rank1, rank5, rank10, minp] = [map, rank1, rank5, rank10, minp].map(|share| 100.0 * share);
            format!(
                "{name}: mAP {map:.2} %, rank-1 {rank1:.2} %, rank-5 {rank5:.2} %, rank-10 {rank10:.2} %, mINP \
                 {minp:.2} % over {queries} queries\n"
            )
        };
        let retrieval = measures.retrieval.as_ref();
        let searches = [
            retrieval.map(|retrieval| ranked("retrieval", &retrieval.plain)),
            retrieval.and_then(|retrieval| Some(ranked("re-ranked", retrieval.reranked.as_ref()?))),
        ];
        let parts = [about("held-out", &measures.held_out), about("test", &measures.test)];
        format!(
            "{}written to {}",
            parts.into_iter().chain(searches).flatten().collect::<String>(),
            args.run.join("measures.json").display()
        )
    })?;
    Ok(Outcome::Good)
}
