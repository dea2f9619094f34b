mod sources;
mod verbs;
#[test]
fn dump() {
    let code = sources::code(&[
        "src/model/duration",
        "src/model/identity",
        "src/model/domain",
        "src/model/registry",
        "src/model/pattern",
        "src/model/labels",
        "src/plan",
        "src/cloud",
        "src/controller",
        "src/cluster",
        "src/server",
        "src/args",
        "src/bin/acr-credential-controller",
    ]);
    for m in &code.messages {
        if verbs::asks(&m.text) {
            println!("M {}:{} {}", m.file, m.line, m.text);
        }
    }
    for (k, v) in &code.reasons {
        println!("R {} {} {}", k.0, k.1, v);
    }
}
