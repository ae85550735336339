//! Search, in any script: what is found, what is shown of it, and that the index holds all texts and no other.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::Client,
    fake_model::{Answer, FakeModel},
    harness::{App, Ran, alm, column, user},
    index::check_index,
};

/// A session in which someone said `text`.
fn said(client: &Client, text: &str) -> String {
    let session = client.post("/sessions", json!({ "label": "x" })).ok(201)["id"].as_str().unwrap().to_owned();
    client.post(&format!("/sessions/{session}/messages"), user(text)).ok(201);
    session
}

fn search(client: &Client, words: &str) -> Value {
    let escaped: String = words.bytes().map(|byte| format!("%{byte:02X}")).collect();
    client.get(&format!("/sessions?limit=100&q={escaped}")).ok(200)
}

fn found(client: &Client, words: &str) -> Vec<String> {
    column(&search(client, words), "id")
}

#[test]
fn a_part_of_a_sentence_without_spaces_is_found() {
    let app = App::shared();
    let acme = app.org("acme");
    for (text, parts) in [
        (
            "今天北京的天气很好，我们去公园吧",
            &["天气", "公园", "北京", "北京的天气", "今", "吧", "好", "天气 公园", "很好，我们"][..],
        ),
        ("東京タワーに行きたいです", &["タワー", "東京", "ﾀﾜｰ", "行きたい", "に", "です"]),
        (
            "请检查nginx后的日志",
            &["nginx", "日志", "NGINX", "ｎｇｉｎｘ", "检查nginx", "nginx后的", "ngin", "查nginx后"],
        ),
        ("ฉันอยากกินข้าวผัด", &["ข้าว", "ข้าวผัด", "กิน", "ฉัน", "ผ"]),
        ("서울에서 만나요", &["서울", "에서", "만나", "서울에서 만나요", "나요", "서울"]),
        ("ខ្ញុំស្រឡាញ់កម្ពុជា", &["កម្ពុជា"]),
        ("ຂ້ອຍຮັກລາວ", &["ລາວ", "ຮັກ"]),
        ("မြန်မာစကား", &["စကား"]),
        ("他买了3D打印机和iPhone15手机", &["3D打印", "打印机", "iphone15", "手机", "3d"]),
        ("𠮷野家で昼ごはん🍜を食べた🎉🎉", &["𠮷野家", "🍜", "🎉", "ごはん🍜", "🍜を"]),
    ] {
        let session = said(&acme, text);
        for part in parts {
            let hits = search(&acme, part);
            assert_eq!(column(&hits, "id"), [&*session], "{part}");
            assert_eq!(hits["items"][0]["snippet"], json!(text), "{part}");
        }
    }
}

#[test]
fn what_is_written_in_several_ways_is_found_by_each() {
    let app = App::shared();
    let acme = app.org("acme");
    for (text, ways) in [
        ("Un café à Łódź", &["cafe", "CAFÉ", "cafe\u{301}", "lodz"][..]),
        ("Re\u{301}sume\u{301} of É́mile", &["résumé", "resume", "EMILE"]),
        ("Die Straße ist groß", &["strasse", "STRASSE", "STRAẞE", "gross", "groß"]),
        ("İstanbul ve Isparta", &["istanbul", "ISTANBUL", "ısparta", "isparta"]),
        ("Привет, МОСКВА ёлка", &["москва", "ПРИВЕТ", "елка"]),
        ("ΟΔΥΣΣΕΥΣ και Ωμέγα", &["οδυσσευς", "οδυσσεύς", "ωμεγα"]),
        ("السَّلَامُ عَلَيْكُمْ", &["السلام", "عليكم", "الســلام"]),
        ("שָׁלוֹם עולם", &["שלום", "עולם"]),
        ("हिन्दी में लिखो", &["हिन्दी", "लिखो"]),
        ("Việt Nam, Đà Nẵng", &["viet", "da nang", "Đà Nẵng"]),
        ("see alm-v2.1_final.tar.gz", &["alm-v2.1", "final.tar", "tar.gz", "alm v2"]),
        (
            "the state-of-the-art “quoted” don’t",
            &["state-of-the-art", "state of the art", "\"quoted\"", "don't", "don’t"],
        ),
        ("mail bob.smith@example.com at C:\\temp", &["bob.smith@example.com", "bob smith", "c:\\temp", "example.com"]),
    ] {
        let session = said(&acme, text);
        for way in ways {
            assert_eq!(found(&acme, way), [&*session], "{way}");
        }
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let app = App::shared();
    let acme = app.org("acme");
    said(&acme, "今天北京的天气很好。한국 が パリ nginx");
    for words in ["北天京", "京北", "公园", "天地", "今好", "か", "バ", "nginy", "inx", "今天 公园", "국한", "🎉"]
    {
        assert_eq!(found(&acme, words), Vec::<String>::new(), "{words}");
    }
    for words in [" ", "\"", "*", "。、", "\u{200b}", "\u{301}", "\0", "AND", "天\" OR \"气", "-天", "col:天"] {
        search(&acme, words);
    }
    assert!(found(&app.org("globex"), "天气").is_empty());
}

#[test]
fn a_snippet_shows_the_place_as_it_was_written() {
    let app = App::shared();
    let acme = app.org("acme");
    let text = format!("{}請檢查ＮＧＩＮＸ的日誌{}", "前".repeat(2_000), "後".repeat(2_000));
    said(&acme, &text);
    let hits = search(&acme, "nginx");
    let snippet = hits["items"][0]["snippet"].as_str().unwrap();
    assert!(snippet.contains("請檢查ＮＧＩＮＸ的日誌"), "{snippet}");
    assert!(snippet.starts_with("…前") && snippet.ends_with("後…") && snippet.chars().count() < 120, "{snippet}");
    let labelled = acme.post("/sessions", json!({ "label": "Über Größe" })).ok(201)["id"].clone();
    let hits = search(&acme, "UBER");
    assert_eq!((&hits["items"][0]["id"], &hits["items"][0]["snippet"]), (&labelled, &json!("Über Größe")));
}

#[test]
fn a_new_label_is_found_and_the_old_one_no_more() {
    let app = App::shared();
    let acme = app.org("acme");
    let session = acme.post("/sessions", json!({ "label": "北京之旅" })).ok(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(found(&acme, "之旅"), [&*session]);
    acme.patch(&format!("/sessions/{session}"), json!({ "label": "東京の旅" })).ok(200);
    assert_eq!((found(&acme, "京の").len(), found(&acme, "之旅").len()), (1, 0));
    acme.patch(&format!("/sessions/{session}"), json!({ "metadata": {} })).ok(200);
    assert_eq!(found(&acme, "東京"), [&*session], "what was not changed stays");
}

#[test]
fn a_model_finds_parts_of_sentences_too() {
    let calls = Answer::call("t1", "search_history", r#"{"query":"天气"}"#);
    let (app, model) = (App::shared(), FakeModel::start([calls, Answer::text("done")]));
    let acme = app.org_asking("acme", &model);
    said(&acme, "今天北京的天气很好");
    let stream = acme.chat(json!({ "model": "up/free", "messages": [user("Where was it?")] }));
    let hits = stream.one("tool-output-available")["output"]["hits"].clone();
    assert_eq!(hits[0]["text"], json!("今天北京的天气很好"), "{hits}");
}

#[test]
fn the_index_holds_what_was_said_and_what_was_brought_in_and_nothing_else() {
    let script = [Answer::text("公园很大。"), Answer::text("公园很小。"), Answer::status(401)];
    let (app, model) = (App::start(&[]), FakeModel::start(script));
    let acme = app.org_asking("acme", &model);
    let ask = |id: &str| json!({ "id": id, "model": "up/free", "messages": [user("北京的公园大吗？")] });
    acme.chat(ask("c"));
    acme.chat(json!({ "id": "c", "trigger": "regenerate-message", "messages": [], "model": "up/free" }));
    acme.post("/chat", ask("refused")).fails(502, "MODEL_UNAVAILABLE");
    check_index(&app.file());
    assert_eq!((found(&acme, "很小"), found(&acme, "很大")), (vec!["c".to_owned()], Vec::new()));
    let slug = app.slug("acme");
    let path = app.folder().join("acme.jsonl");
    app.alm(&["export", "--org", &slug, path.to_str().unwrap()]).ok();
    let folder = TempDir::new().unwrap();
    let on = |arguments: &[&str]| Ran::of(alm(arguments).env("ALM_DATA_DIR", folder.path()));
    on(&["import", path.to_str().unwrap()]).ok();
    let file = rusqlite::Connection::open(folder.path().join(alm::store::file::FILE_NAME)).unwrap();
    check_index(&file);
    let other = App::start_in(folder);
    let key = other.alm(&["keys", "create", "--org", &slug, "--name", "first"]).ok().to_owned();
    let moved = Client::new(other.url(), Some(key));
    assert_eq!(found(&moved, "公园"), ["c"]);
    let again = said(&moved, "说完了");
    assert_eq!(found(&moved, "完了"), [again]);
    check_index(&file);
}
