//! The test of a server: it is reached, greeted and asked for its list, each with its time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    known::State,
    servers::Servers,
    wire::{List, Server},
    words,
};
use crate::{
    error::Result,
    store::{Tenant, mcp::McpServer},
};

/// What a test of a server found.
#[derive(Debug, Clone)]
pub struct Report {
    pub is_ok: bool,
    /// In order; the first that failed is the last.
    pub stages: Vec<Stage>,
    /// The tools that can be offered: what the server calls them, and what models do.
    pub tools: Vec<(String, String)>,
    /// Those that cannot, and why.
    pub quarantined: Vec<(String, String)>,
    /// What there is to say of the list.
    pub note: Option<String>,
    /// The last of what a command said that was no message.
    pub log: String,
}

/// One step of a test.
#[derive(Debug, Clone)]
pub struct Stage {
    pub name: &'static str,
    pub duration: Duration,
    pub error: Option<String>,
}

impl Servers {
    /// Tests a server; its list is kept as after any refresh.
    pub async fn test(self: &Arc<Self>, tenant: &Tenant, slug: &str) -> Result<Report> {
        let row = self.store.org(tenant).mcp_server(slug)?;
        let mut stages = Vec::new();
        let list = self.stages(&row, &mut stages).await;
        if let Some(list) = list {
            let began = Instant::now();
            let known = self.known(&row.id);
            let kept = match self.link(&row, &known).await {
                Ok(linked) => self.keep(tenant, &row, &linked, list).await?,
                Err(failure) => Err(failure.sentence),
            };
            if let Err(error) = kept {
                stages.push(Stage { name: "keep", duration: began.elapsed(), error: Some(error) });
            }
        } else if let Some(error) = stages.last().and_then(|stage| stage.error.clone()) {
            self.store.org(tenant).note_mcp_error(row.id.clone(), error).await?;
        }
        self.report(tenant, &row, stages)
    }

    /// Tests a server without keeping what it says: its stages, and how many tools it lists.
    pub async fn look(self: &Arc<Self>, row: &McpServer) -> (Vec<Stage>, Option<usize>) {
        let mut stages = Vec::new();
        let list = self.stages(row, &mut stages).await;
        (stages, list.map(|list| list.tools.len()))
    }

    async fn stages(&self, row: &McpServer, stages: &mut Vec<Stage>) -> Option<List> {
        let mut stage = |name, began: Instant, error: Option<String>| {
            stages.push(Stage { name, duration: began.elapsed(), error });
        };
        let began = Instant::now();
        if let Some(reached) = self.opening().reach(row).await {
            let is_reached = reached.is_ok();
            stage("reach", began, reached.err());
            if !is_reached {
                return None;
            }
        }
        let (began, known) = (Instant::now(), self.known(&row.id));
        if row.url.is_some() {
            known.disconnect().await;
        }
        let linked = match self.link(row, &known).await {
            Ok(linked) => linked,
            Err(failure) => {
                stage("handshake", began, Some(failure.sentence));
                return None;
            }
        };
        stage("handshake", began, None);
        let began = Instant::now();
        let listed = linked.link.list().await.map_err(|refusal| words::refusal(&row.slug, &refusal));
        stage("list", began, listed.as_ref().err().cloned());
        if let Err(sentence) = &listed {
            known.see(State::Down, Some(sentence.clone()));
        }
        listed.ok()
    }

    fn report(&self, tenant: &Tenant, row: &McpServer, stages: Vec<Stage>) -> Result<Report> {
        let org = self.store.org(tenant);
        let there: Vec<_> = org.mcp_tools_of(row)?.into_iter().filter(|tool| tool.is_there).collect();
        let quarantined = there.iter().filter_map(|tool| Some((tool.remote_name.clone(), tool.fault.clone()?)));
        let fine = there.iter().filter(|tool| tool.fault.is_none());
        Ok(Report {
            is_ok: stages.iter().all(|stage| stage.error.is_none()),
            tools: fine.map(|tool| (tool.remote_name.clone(), tool.name.clone())).collect(),
            quarantined: quarantined.collect(),
            note: org.mcp_server(&row.slug)?.last_error,
            log: self.log(&row.id),
            stages,
        })
    }
}
