//! What a network of re-identification is worth: every query photo searches the gallery.

use std::collections::HashSet;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::reid::{Features, Metric, Photos, Ranking, Rerank, distances, numbers, rank, rerank};
use super::{Pass, Skipped};
use crate::data::Sample;
use crate::data::reid::ReidSample;

/// Queries that are ranked at a time: their distances to the whole gallery are in memory at once.
const QUERIES: usize = 512;

/// The measures of query photos against a gallery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    /// Query photos that were used.
    pub query: usize,
    /// Gallery photos that were used.
    pub gallery: usize,
    /// By the distance of their features.
    #[serde(flatten)]
    pub plain: Branches,
    /// After k-reciprocal re-ranking, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reranked: Option<Branches>,
    /// Photos that could not be used; places count the queries first, then the gallery.
    pub skipped: Vec<Skipped>,
}

/// The rankings by each branch's feature.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Branches {
    /// By the features of SA and GLCA one after the other, as in the paper; by SA's alone without GLCA.
    pub answer: Ranking,
    /// By SA's alone.
    pub sa: Ranking,
    /// By GLCA's alone, where the network has it.
    pub glca: Option<Ranking>,
}

/// Compares the features of `query` and `gallery`, each scaled to unit length: `behind` takes those behind the
/// bottlenecks. `settings` also re-ranks.
///
/// # Errors
/// When the pass fails, and for features without a direction; photos that cannot be used are listed.
pub fn retrieve(
    pass: &Pass<'_>,
    query: &[ReidSample],
    gallery: &[ReidSample],
    behind: bool,
    settings: Option<Rerank>,
) -> Result<Retrieval> {
    let all: Vec<&ReidSample> = query.iter().chain(gallery).collect();
    let samples: Vec<Sample> = all.iter().copied().map(Sample::from).collect();
    let mut skipped = Vec::new();
    let mut rows: Vec<[Vec<f32>; 2]> = Vec::new();
    for (place, features) in pass.features(&samples, behind)?.into_iter().enumerate() {
        match features {
            Ok(features) => rows.push(features),
            Err(reason) => skipped.push(Skipped { place, reason }),
        }
    }
    let gone: HashSet<usize> = skipped.iter().map(|photo| photo.place).collect();
    let kept = |places: std::ops::Range<usize>| -> Vec<ReidSample> {
        places.filter(|place| !gone.contains(place)).map(|place| all[place].clone()).collect()
    };
    let (query, gallery) = (kept(0..query.len()), kept(query.len()..all.len()));
    let has_glca = rows.first().is_some_and(|[_, glca]| !glca.is_empty());
    let search = |pick: &dyn Fn(&[Vec<f32>; 2]) -> Vec<f32>, again: Option<Rerank>| -> Result<Ranking> {
        let of = |rows: &[[Vec<f32>; 2]]| -> Result<Features> {
            let width = rows.first().map_or(1, |row| pick(row).len());
            Ok(Features::new(rows.iter().flat_map(pick).collect(), width)?)
        };
        if query.is_empty() || gallery.is_empty() {
            return Ok(Ranking::default());
        }
        ranking((&query, &of(&rows[..query.len()])?), (&gallery, &of(&rows[query.len()..])?), again)
    };
    let branches = |again: Option<Rerank>| -> Result<Branches> {
        Ok(Branches {
            answer: search(&|row| row.concat(), again)?,
            sa: search(&|row| row[0].clone(), again)?,
            glca: has_glca.then(|| search(&|row| row[1].clone(), again)).transpose()?,
        })
    };
    Ok(Retrieval {
        query: query.len(),
        gallery: gallery.len(),
        plain: branches(None)?,
        reranked: settings.map(|settings| branches(Some(settings))).transpose()?,
        skipped,
    })
}

/// Ranks the gallery for each query, some queries at a time unless all are needed to rank again.
fn ranking(
    (query, of_query): (&[ReidSample], &Features),
    (gallery, of_gallery): (&[ReidSample], &Features),
    again: Option<Rerank>,
) -> Result<Ranking> {
    let (identities, cameras) = numbers(gallery);
    let gallery = Photos { identities: &identities, cameras: &cameras };
    let (identities, cameras) = numbers(query);
    if let Some(settings) = again {
        let query = Photos { identities: &identities, cameras: &cameras };
        return Ok(rank(&rerank(of_query, of_gallery, settings)?, query, gallery)?);
    }
    let mut total = Ranking::default();
    for start in (0..query.len()).step_by(QUERIES) {
        let end = (start + QUERIES).min(query.len());
        let photos = Photos { identities: &identities[start..end], cameras: &cameras[start..end] };
        let near = distances(&of_query.part(start..end), of_gallery, Metric::Cosine)?;
        total = total.and(&rank(&near, photos, gallery)?);
    }
    Ok(total)
}
