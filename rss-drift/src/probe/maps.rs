//! Our maps, by their names, with elements as aya wants them.

use aya::{
    Ebpf,
    maps::{Array, HashMap, Map, MapData, MapError, Queue, Stack},
};

use super::error::ProbeError;

/// An element of a map. aya takes only types of ours.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Value<T>(pub(super) T);

// SAFETY: plain old data by bytemuck's promise: any bytes are a value, and it has no padding.
unsafe impl<T: bytemuck::Pod> aya::Pod for Value<T> {}

/// What says that the map of this name refused something.
pub(super) const fn failed(map: &'static str) -> impl Fn(MapError) -> ProbeError + Copy {
    move |error| ProbeError::Map { map, error }
}

/// The map of this name.
pub(super) fn map<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a Map, ProbeError> {
    ebpf.map(name).ok_or(ProbeError::Missing(name))
}

fn map_mut<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Map, ProbeError> {
    ebpf.map_mut(name).ok_or(ProbeError::Missing(name))
}

pub(super) fn array<'a, T: bytemuck::Pod>(
    ebpf: &'a Ebpf,
    name: &'static str,
) -> Result<Array<&'a MapData, Value<T>>, ProbeError> {
    Array::try_from(map(ebpf, name)?).map_err(failed(name))
}

pub(super) fn array_mut<'a, T: bytemuck::Pod>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<Array<&'a mut MapData, Value<T>>, ProbeError> {
    Array::try_from(map_mut(ebpf, name)?).map_err(failed(name))
}

pub(super) fn hash<'a, K: aya::Pod, V: aya::Pod>(
    ebpf: &'a Ebpf,
    name: &'static str,
) -> Result<HashMap<&'a MapData, K, V>, ProbeError> {
    HashMap::try_from(map(ebpf, name)?).map_err(failed(name))
}

pub(super) fn hash_mut<'a, K: aya::Pod, V: aya::Pod>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<HashMap<&'a mut MapData, K, V>, ProbeError> {
    HashMap::try_from(map_mut(ebpf, name)?).map_err(failed(name))
}

pub(super) fn stack_mut<'a, T: aya::Pod>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<Stack<&'a mut MapData, T>, ProbeError> {
    Stack::try_from(map_mut(ebpf, name)?).map_err(failed(name))
}

pub(super) fn queue_mut<'a, T: aya::Pod>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<Queue<&'a mut MapData, T>, ProbeError> {
    Queue::try_from(map_mut(ebpf, name)?).map_err(failed(name))
}

/// One element of an array.
pub(super) fn get<T: bytemuck::Pod>(ebpf: &Ebpf, name: &'static str, index: u32) -> Result<T, ProbeError> {
    let Value(value) = array(ebpf, name)?.get(&index, 0).map_err(failed(name))?;
    Ok(value)
}

/// Sets one element of an array.
pub(super) fn set<T: bytemuck::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
    index: u32,
    value: T,
) -> Result<(), ProbeError> {
    array_mut(ebpf, name)?.set(index, Value(value), 0).map_err(failed(name))
}

/// Changes every element of an array that is not what the change makes of it.
pub(super) fn set_all<T: bytemuck::Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
    change: impl Fn(T) -> T,
) -> Result<(), ProbeError> {
    let mut array = array_mut(ebpf, name)?;
    for index in 0..array.len() {
        let Value(value) = array.get(&index, 0).map_err(failed(name))?;
        array.set(index, Value(change(value)), 0).map_err(failed(name))?;
    }
    Ok(())
}
