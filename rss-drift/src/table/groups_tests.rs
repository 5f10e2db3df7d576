use std::collections::HashSet;

use super::{
    super::{Names, Unit, Units, Value, csv_header, csv_rows, default_fields, find, json_line, parse_fields},
    *,
};
use crate::drift::{
    by::By,
    fixture::host,
    group_fixture::{all_and_little, group},
};

/// The contract word for word: a change here breaks the files of every user.
const HEADER: &str = "timestamp,host,boot_id,kernel,mode,accounting,interval,by,group,container_name,uid,cgroup,processes,mms,\
    threads,source,reported_bytes,exact_bytes,drift_bytes,bound_bytes,exact_file_bytes,exact_anon_bytes,exact_shmem_bytes,\
    exact_swap_bytes,global_file_bytes,global_anon_bytes,global_shmem_bytes,global_swap_bytes,worst_pid,worst_comm,\
    worst_drift_bytes,uncertain_mms,walked_mms,resident_bytes,pss_bytes,charge_bytes,charge_peak_bytes,limit_bytes,\
    charged_exact_bytes,beyond_rss_bytes,page_cache_bytes,kernel_bytes,page_tables_bytes,charge_percent,\
    charged_exact_percent,missed_events,step_down,limit_above_group,limit_above_bytes,limit_above_percent\r\n";

#[test]
fn the_header_keeps_its_names_and_order() {
    assert_eq!(String::from_utf8(csv_header(CONTRACT)).unwrap(), HEADER);
}

#[test]
fn the_rows_never_change() {
    let rows = csv_rows(CONTRACT, &all_and_little(), &host(), Names::Whole);
    let id = "5e1ec7ed".repeat(8);
    let begin = "2026-01-02T03:04:05.678Z,box,00000000-1111-2222-3333-444444444444,6.12.0,passive,per-cpu,5,container";
    assert_eq!(
        String::from_utf8(rows).unwrap(),
        format!(
            "{begin},{id},\"a \"\"b\"\",\nc\",7,/x,2,2,3,stat,36864,28672,-8192,1572864,4096,8192,16384,12288,-20480,24576,32768,\
             -28672,42,sh,409600,0,2,8192,5000,1048576,2097152,4194304,2097152,-1048576,10,11,12,25,50,13,,/,40,75\r\n\
             {begin},-,,,,2,2,3,stat,,409600,,1572864,0,409600,0,0,0,532480,0,0,,,,0,,,,,,,,,,,,,,,,,,\r\n"
        )
    );
}

#[test]
fn the_lines_never_change() {
    let [all, little] = all_and_little();
    let host = host();
    for group in [&all, &little] {
        let line = json_line(CONTRACT, group, &host);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
        let keys: Vec<_> =
            CONTRACT.iter().map(|column| line.find(&format!("\"{}\":", column.name))).collect();
        assert!(keys.iter().all(Option::is_some) && keys.is_sorted(), "{line}");
    }
    let line = json_line(CONTRACT, &little, &host);
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&object["group"], &object["exact_bytes"]), (&"-".into(), &409_600.into()));
    for unreadable in [
        "reported_bytes",
        "drift_bytes",
        "worst_pid",
        "charge_bytes",
        "limit_bytes",
        "charge_percent",
        "pss_bytes",
    ] {
        assert!(object[unreadable].is_null(), "{unreadable} of {line}");
    }
}

#[test]
fn a_group_without_a_limit_is_near_none() {
    let ([mut all, _], host) = (all_and_little(), host());
    let get = |group: &Aggregate, name: &str| match find::<Aggregate>(name).unwrap().get(group, &host) {
        Value::Real(number) => Some(number),
        Value::Empty => None,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!((get(&all, "charge%"), get(&all, "exact%")), (Some(25.0), Some(50.0)));
    for limit in [None, Some(0)] {
        all.charge.as_mut().unwrap().memory.limit = limit;
        assert_eq!((get(&all, "charge%"), get(&all, "exact%")), (None, None), "{limit:?}");
    }
}

#[test]
fn names_units_and_documentation() {
    let mut seen = HashSet::new();
    for column in Aggregate::columns() {
        for name in column.aliases.iter().chain([&column.name]) {
            assert!(seen.insert(*name), "{name} names two columns");
            assert_eq!(*name, name.to_ascii_lowercase(), "names are looked up in lower case");
        }
        let doc = column.doc;
        assert!(!doc.is_empty() && !doc.contains('\n') && !doc.ends_with('.'), "{}", column.name);
    }
    for column in CONTRACT {
        assert_eq!(column.unit == Unit::Bytes, column.name.ends_with("_bytes"), "{}", column.name);
    }
}

#[test]
fn the_columns_of_the_table() {
    let count = Aggregate::DEFAULT.split_whitespace().count();
    assert_eq!(default_fields::<Aggregate>(Units::Kib).len(), count, "each name is one of a column");
    let names = |list| parse_fields::<Aggregate>(list).unwrap().iter().map(|it| it.name).collect::<Vec<_>>();
    for set in ["memory", "kernel"] {
        assert!(names(set).starts_with(&["group", "processes"]) && names(set).len() > 6, "{set}");
    }
    let error = parse_fields::<Aggregate>("rfc").unwrap_err().to_string();
    assert!(
        error.contains("unknown field 'rfc'") && error.ends_with("sets of fields: all, memory, kernel"),
        "{error}"
    );
    let error = parse_fields::<Aggregate>("pid").unwrap_err().to_string();
    assert!(error.contains("worst_pid") && error.contains("charge"), "{error}");
}

#[test]
fn equal_groups_are_in_the_order_of_their_names() {
    let mut one = group(By::Unit, "b", 1, 1);
    let other = group(By::Unit, "a", 1, 1);
    assert_eq!(one.tie(&other), Ordering::Greater);
    one.name.text = Some("a".to_owned());
    one.place = 1;
    assert_eq!(one.tie(&other), Ordering::Greater, "two users' units of one name");
}
