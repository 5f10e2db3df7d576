use super::{
    builder::{Builder, info},
    *,
};

/// The kind flag of an info word.
const FLAG: u32 = 1 << 31;
const INT: Shape<'static> = Shape::Int(4);

/// What `Structure::offset_of` says of the blob, errors as text.
fn offset(builder: &Builder, structure: &str, path: &str, shape: &Shape<'_>) -> Result<u32, String> {
    let blob = builder.blob();
    let btf = Btf::parse(&blob).map_err(|error| error.to_string())?;
    let offset = btf.structure(structure).and_then(|structure| structure.offset_of(path, shape));
    offset.map_err(|error| error.to_string())
}

#[test]
fn members_are_found_through_anonymous_parts_and_dotted_paths() {
    for flag in [0, FLAG] {
        let mut builder = Builder::new();
        let int = builder.int(4, true);
        let inner = builder.fields("", info(Kind::Struct, 2) | flag, 8, &[("x", int, 0), ("y", int, 32)]);
        let union = builder.fields("", info(Kind::Union, 2) | flag, 8, &[("", inner, 0), ("z", int, 0)]);
        let named = builder.fields("named", info(Kind::Struct, 1) | flag, 12, &[("", union, 32)]);
        let fields = [("a", int, 0), ("n", named, 64), ("", union, 160)];
        builder.fields("outer", info(Kind::Struct, 3) | flag, 28, &fields);
        assert_eq!(offset(&builder, "outer", "a", &INT), Ok(0));
        assert_eq!(offset(&builder, "outer", "n.y", &INT), Ok(8 + 4 + 4));
        assert_eq!(offset(&builder, "outer", "n.z", &INT), Ok(8 + 4));
        assert_eq!(offset(&builder, "outer", "y", &INT), Ok(20 + 4));
        assert_eq!(offset(&builder, "outer", "z", &INT), Ok(20));
        assert_eq!(offset(&builder, "outer", "n.w", &INT).unwrap_err(), "BTF has no member outer.n.w");
        assert_eq!(
            offset(&builder, "outer", "a.x", &INT).unwrap_err(),
            "what holds x in outer.a.x is a signed integer of 4 bytes on this kernel, expected a struct or a union; \
             use a newer rss-drift"
        );
    }
}

#[test]
fn typedefs_qualifiers_and_tags_do_not_matter() {
    let mut builder = Builder::new();
    let mut of = builder.int(4, true);
    for kind in [Kind::Typedef, Kind::Const, Kind::Volatile, Kind::Restrict, Kind::TypeTag] {
        of = builder.plain("layer", kind, of);
    }
    builder.structure("s", 4, &[("m", of, 0)]);
    assert_eq!(offset(&builder, "s", "m", &INT), Ok(0));
    assert_eq!(offset(&builder, "s", "m", &Shape::Signed(4)), Ok(0));
}

#[test]
fn bitfields_are_refused_in_each_form() {
    let refused = |builder: &Builder| {
        let error = offset(builder, "s", "b", &INT).unwrap_err();
        assert_eq!(error, "s.b is a bitfield, which cannot be read by its offset");
    };
    let mut builder = Builder::new();
    let int = builder.int(4, false);
    builder.fields("s", info(Kind::Struct, 1) | FLAG, 4, &[("b", int, 3 << 24)]);
    refused(&builder);

    let mut builder = Builder::new();
    let bits = builder.bits(4, false, 0, 3);
    builder.structure("s", 4, &[("b", bits, 0)]);
    refused(&builder);

    let mut builder = Builder::new();
    let int = builder.int(4, false);
    builder.structure("s", 8, &[("b", int, 5)]);
    refused(&builder);
}

#[test]
fn a_forward_declaration_is_no_definition() {
    let mut builder = Builder::new();
    builder.plain("s", Kind::Forward, 0);
    assert_eq!(offset(&builder, "s", "m", &INT).unwrap_err(), "BTF defines no struct s");
    let int = builder.int(4, true);
    builder.structure("s", 4, &[("m", int, 0)]);
    assert_eq!(offset(&builder, "s", "m", &INT), Ok(0));
}

#[test]
fn definitions_of_one_name_have_to_agree_on_what_is_asked() {
    let mut builder = Builder::new();
    let int = builder.int(4, true);
    let long = builder.int(8, true);
    builder.structure("s", 16, &[("m", int, 0), ("n", int, 32), ("o", int, 64)]);
    builder.structure("s", 16, &[("m", int, 0), ("n", int, 64), ("o", long, 64), ("p", int, 32)]);
    assert_eq!(offset(&builder, "s", "m", &INT), Ok(0));
    for (member, why) in [("n", "offset"), ("o", "type"), ("p", "presence")] {
        assert_eq!(
            offset(&builder, "s", member, &INT).unwrap_err(),
            format!("s.{member} is ambiguous: BTF has several definitions that differ"),
            "{why}"
        );
    }
    let blob = builder.blob();
    assert_eq!(Btf::parse(&blob).unwrap().structure("s").unwrap().size().unwrap(), 16);
    builder.structure("s", 12, &[]);
    let blob = builder.blob();
    let size = Btf::parse(&blob).unwrap().structure("s").unwrap().size();
    assert!(size.unwrap_err().to_string().starts_with("size of struct s is ambiguous"));
}

#[test]
fn one_name_twice_within_a_struct_is_ambiguous() {
    let mut builder = Builder::new();
    let int = builder.int(4, true);
    let inner = builder.structure("", 4, &[("m", int, 0)]);
    builder.structure("s", 8, &[("", inner, 0), ("", inner, 32)]);
    assert!(offset(&builder, "s", "m", &INT).unwrap_err().starts_with("s.m is ambiguous"));
}

#[test]
fn an_unexpected_type_is_named_with_the_expected_one() {
    let mut builder = Builder::new();
    let unsigned = builder.int(8, false);
    let other = builder.plain("other", Kind::Forward, 0);
    let pointer = builder.plain("", Kind::Pointer, other);
    let array = builder.array(pointer, 3);
    let anonymous = builder.structure("", 8, &[("x", unsigned, 0)]);
    let typedef = builder.plain("alias_t", Kind::Typedef, anonymous);
    let void = builder.plain("", Kind::Pointer, 0);
    builder.structure(
        "s",
        64,
        &[("u", unsigned, 0), ("p", pointer, 64), ("a", array, 128), ("t", typedef, 320), ("v", void, 384)],
    );
    let wanted = Shape::Struct("mm_struct");
    for (member, shape, expected, found) in [
        ("u", &Shape::Signed(8), "a signed integer of 8 bytes", "an unsigned integer of 8 bytes"),
        ("u", &INT, "an integer of 4 bytes", "an unsigned integer of 8 bytes"),
        ("p", &Shape::Pointer(&wanted), "a pointer to struct mm_struct", "a pointer to struct other"),
        ("p", &Shape::Pointer(&Shape::Void), "a pointer to void", "a pointer to struct other"),
        (
            "a",
            &Shape::Array(4, &wanted),
            "an array of 4 x struct mm_struct",
            "an array of 3 x a pointer to struct other",
        ),
        (
            "a",
            &Shape::Flexible(&INT),
            "an array of an integer of 4 bytes",
            "an array of 3 x a pointer to struct other",
        ),
        ("t", &Shape::Atomic(8), "an atomic counter of 8 bytes", "alias_t, an anonymous struct"),
        ("v", &wanted, "struct mm_struct", "a pointer to void"),
    ] {
        assert_eq!(
            offset(&builder, "s", member, shape).unwrap_err(),
            format!("s.{member} is {found} on this kernel, expected {expected}; use a newer rss-drift")
        );
    }
}

#[test]
fn shapes_fit_what_they_name() {
    let mut builder = Builder::new();
    let int = builder.int(4, true);
    let atomic = builder.structure("", 4, &[("counter", int, 0)]);
    let forward = builder.plain("later", Kind::Forward, 0);
    let union = builder.record("either", info(Kind::Forward, 0) | FLAG, 0, &[]);
    let [to_later, to_either, to_void] =
        [forward, union, 0].map(|target| builder.plain("", Kind::Pointer, target));
    let flexible = builder.array(to_void, 0);
    builder.structure(
        "s",
        32,
        &[("a", atomic, 0), ("l", to_later, 64), ("e", to_either, 128), ("f", flexible, 256)],
    );
    assert_eq!(offset(&builder, "s", "a", &Shape::Atomic(4)), Ok(0));
    assert_eq!(offset(&builder, "s", "l", &Shape::Pointer(&Shape::Struct("later"))), Ok(8));
    assert!(offset(&builder, "s", "e", &Shape::Pointer(&Shape::Struct("either"))).is_err(), "a union");
    assert_eq!(offset(&builder, "s", "f", &Shape::Flexible(&Shape::Pointer(&Shape::Void))), Ok(32));
}

#[test]
fn circles_and_impossible_sizes_are_corrupt() {
    let corrupt = |builder: &Builder, what: &str| {
        let error = offset(builder, "s", "m", &INT).unwrap_err();
        assert!(error.starts_with("corrupt BTF: ") && error.contains(what), "{error}");
    };
    let mut builder = Builder::new();
    let first = builder.next();
    builder.plain("one", Kind::Typedef, first + 1);
    builder.plain("two", Kind::Typedef, first);
    builder.structure("s", 8, &[("m", first, 0)]);
    corrupt(&builder, "refers to itself");

    let mut builder = Builder::new();
    let own = builder.next();
    builder.structure("", 8, &[("", own, 0), ("", own, 0), ("", own, 0)]);
    builder.structure("s", 8, &[("", own, 0)]);
    corrupt(&builder, "nested in too many");

    let mut builder = Builder::new();
    let int = builder.int(4, true);
    builder.structure("s", 4, &[("m", int, 32)]);
    corrupt(&builder, "beyond its struct");

    let mut builder = Builder::new();
    let mut array = builder.int(4, true);
    for _ in 0..3 {
        array = builder.array(array, u32::MAX);
    }
    builder.structure("s", 4, &[("m", array, 0)]);
    corrupt(&builder, "larger than any memory");

    let mut builder = Builder::new();
    let own = builder.next();
    builder.array(own, 1);
    builder.structure("s", 4, &[("m", own, 0)]);
    corrupt(&builder, "without end");

    let mut builder = Builder::new();
    builder.structure("s", 4, &[("m", 77, 0)]);
    corrupt(&builder, "type 77 is referred to, but there are 1");
}

#[test]
fn many_anonymous_members_do_not_take_for_ever() {
    let mut builder = Builder::new();
    let mut of = builder.structure("", 0, &[]);
    for _ in 0..15 {
        of = builder.structure("", 0, &[("", of, 0); 16]);
    }
    builder.structure("s", 0, &[("", of, 0)]);
    assert!(offset(&builder, "s", "m", &INT).unwrap_err().contains("among too many members"));
}

#[test]
fn headers_are_checked() {
    let mut builder = Builder::new();
    builder.int(4, true);
    let good = builder.blob();
    let error = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut blob = good.clone();
        edit(&mut blob);
        Btf::parse(&blob).unwrap_err().to_string()
    };
    assert!(error(&|blob| blob.clear()).starts_with("not BTF"));
    assert!(error(&|blob| blob[0] = 0x7f).starts_with("not BTF: it starts with [7f, eb]"));
    assert!(error(&|blob| blob.swap(0, 1)).starts_with("big-endian BTF"));
    assert!(error(&|blob| blob[2] = 2).starts_with("BTF version 2 with flags 0x0"));
    assert!(error(&|blob| blob[3] = 1).starts_with("BTF version 1 with flags 0x1"));
    assert!(error(&|blob| blob.truncate(20)).contains("20 bytes are shorter than the header"));
    assert!(error(&|blob| blob[4] = 12).contains("shorter than the header"));
    assert!(error(&|blob| blob[15] = 0xff).contains("of types at 0 are beyond the end"));
    assert!(error(&|blob| blob[16..20].fill(0xff)).contains("of strings at 4294967295 are beyond the end"));
    assert!(error(&|blob| *blob.last_mut().unwrap() = b'x').contains("do not start and end with a NUL"));
    assert!(error(&|blob| blob[24] = 0xff).contains("type 1 has a name at 255"));
    assert!(error(&|blob| blob[12] -= 4).contains("type 1 is cut off"));
}

#[test]
fn a_kind_newer_than_this_program_needs_the_layout_section() {
    let mut builder = Builder::new();
    let new = builder.record("", 25 << 24 | 3, 0, &[0xffff_ffff; 7]);
    let int = builder.int(4, true);
    builder.structure("s", 8, &[("m", int, 32), ("odd", new, 0)]);
    assert_eq!(
        offset(&builder, "s", "m", &INT).unwrap_err(),
        "BTF type 1 has the unknown kind 25; use a newer rss-drift"
    );
    // 4 bytes once and 8 for each of 3 elements. What it says of known kinds is not needed.
    let mut layout = [[0, 0]; 26];
    layout[25] = [4, 8];
    let blob = builder.blob_with_layout(&layout);
    let btf = Btf::parse(&blob).unwrap();
    let structure = btf.structure("s").unwrap();
    assert_eq!(structure.offset_of("m", &INT).unwrap(), 4);
    assert_eq!(
        structure.offset_of("odd", &INT).unwrap_err().to_string(),
        "s.odd is of the unknown kind 25 on this kernel, expected an integer of 4 bytes; use a newer rss-drift"
    );
    let short = builder.blob_with_layout(&layout[..25]);
    assert!(matches!(Btf::parse(&short).unwrap_err(), BtfError::UnknownKind { kind: 25, id: 1 }));
}

#[test]
fn more_elements_than_sixteen_bits_count() {
    let mut builder = Builder::new();
    builder.record("", info(Kind::Enum, 70_000), 4, &vec![0; 2 * 70_000]);
    let int = builder.int(4, true);
    builder.structure("s", 4, &[("m", int, 0)]);
    assert_eq!(offset(&builder, "s", "m", &INT), Ok(0));
}

#[test]
fn tracepoints_by_their_arguments() {
    let mut builder = Builder::new();
    let void = builder.plain("", Kind::Pointer, 0);
    let int = builder.int(4, true);
    builder.tracepoint("two", &[void, void, int]);
    builder.tracepoint("none", &[void]);
    builder.tracepoint("odd", &[int]);
    builder.tracepoint("empty", &[]);
    builder.plain("btf_trace_number", Kind::Typedef, int);
    builder.tracepoint("twice", &[void, int]);
    builder.tracepoint("twice", &[void, int]);
    builder.tracepoint("differing", &[void, int]);
    builder.tracepoint("differing", &[void]);
    let blob = builder.blob();
    let btf = Btf::parse(&blob).unwrap();
    let arguments = |name| btf.tracepoint_args(name).map_err(|error| error.to_string());
    assert_eq!(arguments("two"), Ok(Some(2)));
    assert_eq!(arguments("none"), Ok(Some(0)));
    assert_eq!(arguments("twice"), Ok(Some(1)));
    assert_eq!(arguments("absent"), Ok(None));
    for name in ["odd", "empty", "number"] {
        assert!(arguments(name).unwrap_err().contains(&format!("btf_trace_{name} is")), "{name}");
    }
    assert!(arguments("differing").unwrap_err().contains("ambiguous"));
}

#[test]
fn functions_by_name() {
    let mut builder = Builder::new();
    let prototype = builder.plain("", Kind::Prototype, 0);
    builder.plain("exit_mmap", Kind::Function, prototype);
    builder.plain("mmdrop", Kind::Typedef, prototype);
    let blob = builder.blob();
    let btf = Btf::parse(&blob).unwrap();
    assert!(btf.has_function("exit_mmap"));
    assert!(!btf.has_function("exit_mma"), "a prefix");
    assert!(!btf.has_function("exit_mmaps"), "a longer name");
    assert!(!btf.has_function("mmdrop"), "a typedef");
}

#[test]
fn an_unreadable_file_is_named() {
    let error = read_vmlinux("/nonexistent/btf").unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nonexistent/btf: No such file"), "{error}");
}
