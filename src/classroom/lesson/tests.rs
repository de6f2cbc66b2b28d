//! Lesson files, right and wrong.

use super::*;

fn faults(text: &str) -> Vec<String> {
    let faults = Lesson::parse(text, "l.toml").unwrap_err();
    faults.iter().map(|fault| format!("{}: {}", fault.origin, fault.text)).collect()
}

/// A lesson of one task with these lines, of which the first is line 7.
fn task(lines: &str) -> String {
    format!("title = \"L\"\n[[task]]\nid = \"A1\"\ntitle = \"T\"\nask = \"Q?\"\npoints = 1\n{lines}\n")
}

#[test]
fn a_task_has_ways_with_steps_and_answers() {
    let text = task(
        "hint = \"\"\"two\nlines\"\"\"\nneed = [{ did = \"list\", path = \"/quest/five\" }, { did = \"download\", files = \
         [\"/quest/five/a.txt\"], only = true }]\nin_order = true\nanswer = [\"client-port\"]\nfolder = { path = \"/quest/five\", files = [{ name = \"a.txt\" }] }\n\
         [[task.way]]\nneed = [{ did = \"by-hand\" }]",
    );
    let lesson = Lesson::parse(&text, "l.toml").unwrap();
    let task = &lesson.tasks[0];
    assert_eq!((task.hint.as_str(), task.ways.len(), task.asks()), ("two lines", 2, true));
    assert_eq!(task.ways[0].answer, [Part::ClientPort]);
    assert_eq!(task.ways[1].need, [Step::ByHand {}]);
    assert_eq!((lesson.points(), lesson.folders().count(), lesson.task("a1").unwrap().0), (1, 1, 0));
}

#[test]
fn all_faults_come_at_once_with_their_lines() {
    let text = "title = 7\n\n[[task]]\nid = \"A 1\"\ntitle = \"T\"\nask = \"Q\"\npoint = 1\npoints = 1\nneed = [\n  { did = \
                \"dance\" },\n  { did = \"download\", file = \"/x\" },\n  { did = \"command\", verb = \"FEAT\" },\n]\nanswer \
                = [\"client-prot\"]\n[[task]]\nid = \"B1\"\ntitle = \"T\"\nask = \"Q\"\npoints = 0\n";
    let found = faults(text);
    let starts = [
        "l.toml:1: title is not allowed (invalid type: integer `7`, expected a string); write a line of text",
        "l.toml:3: the id \"A 1\" is not allowed",
        "l.toml:7: there is no \"point\" in a [[task]] (did you mean points?)",
        "l.toml:10: need is not allowed (unknown variant `dance`, expected one of `login`",
        "l.toml:11: need is not allowed (unknown field `file`, expected one of `files`",
        "l.toml:12: FEAT shows nothing: client programs send it by themselves",
        "l.toml:14: answer is not allowed (unknown variant `client-prot`, expected one of `text`",
        "l.toml:15: B1 has 0 points; write points = 1 to 100",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (fault, start) in found.iter().zip(starts) {
        assert!(fault.starts_with(start), "{fault}\n{start}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    const FOLDER: &str = "\nfolder = { path = \"/quest/f\", files = [{ name = \"a.txt\" }, { name = \"b.log\" }, { name = \
                          \"c.txt\" }] }";
    for (lines, fault) in [
        ("", "l.toml:2: A1 can be done in 0 ways"),
        ("in_order = true", "there is nothing to be seen and nothing to answer"),
        ("need = [{ did = \"login\" }]\nin_order = true", "in_order needs two steps"),
        ("need = [{ did = \"login\", refused = true, tls = true }]", "of a refused login nothing else is known"),
        ("need = [{ did = \"sessions\", count = 1 }]", "count = 1 is not allowed; write 2 to 20"),
        ("need = [{ did = \"sessions\", count = 2 }]\none_session = true", "sessions are not in one session"),
        ("need = [{ did = \"list\", path = \"quest\" }]", "\"quest\" is no path in the home"),
        ("need = [{ did = \"list\", path = \"/../x\" }]", "\"/../x\" is no path in the home"),
        ("need = [{ did = \"download\", files = [] }]", "there are 0 files"),
        ("need = [{ did = \"download\", files = [\"/a\"], within = 0 }]", "within = 0 leaves no time"),
        (
            "need = [{ did = \"download\", files = [\"/a\", \"/b\"], broken = true }]",
            "a broken download is of one file",
        ),
        (
            "need = [{ did = \"upload\", files = [\"/a\"], copy_of = \"/quest/f\" }]",
            "there is no /quest/f/a in the folder",
        ),
        ("need = [{ did = \"delete\", files = [\"/a\"], keep = [\"/b\"] }]", "whoever deletes everything in the order"),
        ("need = [{ did = \"command\", verb = \"PWD\" }]", "client programs send PWD behind the login"),
        ("need = [{ did = \"command\", verb = \"RNTO\", path = \"/a\" }]", "RNTO needs the old path and the new one"),
        ("need = [{ did = \"command\", verb = \"CWD\", to = \"/a\" }]", "only RNTO has a new path"),
        ("need = [{ did = \"refused\", verbs = [] }]", "no verb is named"),
        ("need = [{ did = \"refused\", verbs = [\"retr\"] }]", "\"retr\" is no verb; write it in capitals"),
        ("need = [{ did = \"refused\", verbs = [\"RETR\"], codes = [226] }]", "226 is no refusal"),
        ("need = [{ did = \"offer\", verb = \"LPRT\" }]", "verb = \"LPRT\" is not allowed"),
        ("answer = [{ text = [] }]", "no text is named"),
        ("answer = [{ text = [\"x\"] }, \"client-port\"]", "text is the whole answer"),
        ("answer = [{ word = \"banana\" }]", "\"banana\" is no word that can be told from others"),
        ("answer = [{ client-ports = { count = 5, right = 6 } }]", "count must be 2 to 20, and right 1 to count"),
        ("answer = [{ closed-first = \"QUIT\" }]", "\"QUIT\" is no transfer"),
        ("answer = [\"data-connections\"]", "data-connections are those of one session"),
        ("answer = [{ code-of = 1 }]", "there is no step 1"),
        ("need = [{ did = \"login\" }]\nanswer = [{ code-of = 1 }]", "step 1 is no refusal"),
        ("answer = [{ file-word = \"/quest/f/x\" }]", "there is no /quest/f/x in the folder"),
    ] {
        let found = faults(&task(lines));
        assert!(found.len() == 1 && found[0].contains(fault), "{lines}: {found:#?}");
    }
    let only = format!(
        "need = [{{ did = \"download\", only = true, files = [\"/quest/f/a.txt\", \"/quest/f/b.log\"] }}]{FOLDER}"
    );
    assert!(faults(&task(&only))[0].contains("have the last name be one of them, and not c.txt"));
    Lesson::parse(&task(&only.replace("b.log\"]", "c.txt\"]")), "l.toml").unwrap();
    let two = "[[task]]\nid = \"A1\"\ntitle = \"T\"\nask = \"Q\"\npoints = 1\nanswer = [\"client-port\"]\n".repeat(2);
    assert_eq!(
        faults(&format!("title = \"L\"\n{two}")),
        ["l.toml:8: there are two tasks A1; give each an id of its own"]
    );
    assert_eq!(faults("title = \"L\"\n"), ["l.toml:1: there is no task; write [[task]] above each task's keys"]);
}

#[test]
fn a_folder_that_cannot_be_read_hides_no_other_fault_and_makes_none() {
    let found = faults(&task(
        "need = [{ did = \"login\" }]\nanswer = [{ file-word = \"/quest/f/a.txt\" }]\nfolder = { path = \"/f\", files = [] }\nhint = 3",
    ));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("l.toml:9: folder is not allowed (\"/f\" is no quest folder"), "{found:#?}");
}

#[test]
fn the_lesson_that_classes_are_founded_with_is_right() {
    let lesson = Lesson::parse(SHIPPED, "ports-and-ftp.toml").unwrap_or_else(|faults| panic!("{faults}"));
    let blocks = |letter: char| lesson.tasks.iter().filter(|task| task.id.starts_with(letter)).count();
    assert_eq!(['A', 'B', 'C', 'D', 'E'].map(blocks), [10, 9, 13, 3, 1]);
}
