//! A child of ours, behind its socket.

use super::*;
use crate::model::scripted::Peer;

#[tokio::test]
async fn a_child_that_does_not_listen_yet_is_waited_for() {
    let (folder, options) = (tempfile::tempdir().unwrap(), outbound::Options::default());
    let path = folder.path().join("small.sock");
    options.sockets.set("small", &path);
    let base_url = format!("http://{}/v1", outbound::child_host("small"));
    let child = Endpoint { whose: Whose::Ours, api_key: None, ..endpoint(base_url) };
    let (mut server, mut waits) = (None, Vec::new());
    let script = |_: usize, peer: &mut Peer| {
        peer.request()?;
        peer.send(whole().as_bytes())
    };
    let mut waiting = |waiting| {
        waits.push(waiting);
        server.get_or_insert_with(|| Server::start_at(&path, script));
    };
    let reply = Upstreams::new(&options).unwrap().start(&child, &Known::default(), &request(), &mut waiting).await;
    let (deltas, ending) = all(reply.unwrap()).await;
    assert_eq!(Ok((deltas, ending.finish)), hello());
    assert!(matches!(waits[..], [Waiting::Loading { .. }]), "{waits:?}");
}
