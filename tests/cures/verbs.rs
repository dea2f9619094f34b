//! The verbs by which a message asks its reader to do something.

/// Verbs at the beginning of a clause. A text with one of them is a cure.
const IMPERATIVES: &str = "
    add adopt allow annotate apply approve ask attach authorise avoid call change check choose
    clear close configure confirm connect convert copy correct cover create decrease delete deploy
    describe disable do drop edit enable ensure exclude exempt extend find fix follow free generate
    get give grant have ignore include increase inspect install join keep label leave let limit
    list look lower make merge migrate mount move name open pass patch pause print project provide
    put raise read reapply record recreate reduce refresh register release reload remove rename
    renew repair repeat replace report request reset resolve restart restore resume retry revert
    rotate run save scale see select send set shorten show specify split start state stop submit
    supply suspend switch synchronise take trust try turn uncover uninstall unset update upgrade
    use verify wait withdraw write
";

/// Returns whether a text asks its reader to do something: whether one of its clauses begins with such a verb.
pub fn asks(text: &str) -> bool {
    let text = text.replace(" or ", ", ").replace(" and ", ", ").replace(" then ", ", ");
    let clauses = text.split([';', ':', ',', '(', '.', '?', '\n']);
    let mut first = clauses.filter_map(|clause| clause.split_whitespace().next());
    // A file to apply and a command to run are cures in any sentence, and so is what to use.
    if text.contains("apply deploy/") || text.contains("kubectl ") || text.contains(" account use ") {
        return true;
    }
    // One word alone is a label, and not a sentence.
    text.split_whitespace().count() > 1 && first.any(is_imperative)
}

fn is_imperative(word: &str) -> bool {
    IMPERATIVES.split_whitespace().any(|verb| verb == word.to_lowercase())
}

/// Returns the bytes at which a text asks for something else instead: `a, or b`.
pub fn alternatives(text: &str) -> Vec<usize> {
    const OR: &str = " or ";
    let begins = text.match_indices(OR).map(|(at, _)| at + OR.len());
    begins.filter(|at| text[*at..].split_whitespace().next().is_some_and(is_imperative)).collect()
}

#[test]
fn a_cure_differs_from_a_statement() {
    for cure in
        ["x: raise the quota", "check regionId", "it ended; delete it", "a is b, or name c", "Edit it"]
    {
        assert!(asks(cure), "{cure}");
    }
    assert_eq!(alternatives("delete it, or name c or d; or Edit it"), [14, 30]);
    for statement in ["the Secret is being created", "no set of names", "apply", "the rest is kept"] {
        assert!(!asks(statement), "{statement}");
    }
}
