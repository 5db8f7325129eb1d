//! `linux.resources.blockIO` (runtime-spec config-linux.md#block-io).

use std::ffi::CString;

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::settings::{IfMissing, Settings};
use crate::compile::Invalid;
use crate::compile::text::below;

const IO: &str = "/linux/resources/blockIO";

pub(super) fn read(block_io: &LinuxBlockIo, settings: &mut Settings<'_>) -> Result<(), Invalid> {
    if let Some(weight) = block_io.weight().filter(|weight| *weight != 0) {
        set_weight(&below(IO, "weight"), None, weight, settings)?;
    }
    let mut leaf = block_io.leaf_weight().filter(|weight| *weight != 0).map(|_| below(IO, "leafWeight"));
    for (index, device) in block_io.weight_device().iter().flatten().enumerate() {
        let origin = below(&below(IO, "weightDevice"), index);
        if let Some(weight) = device.weight().filter(|weight| *weight != 0) {
            let device = (device.major(), device.minor());
            set_weight(&below(&origin, "weight"), Some(device), weight, settings)?;
        }
        if device.leaf_weight().is_some_and(|weight| weight != 0) {
            leaf.get_or_insert_with(|| below(&origin, "leafWeight"));
        }
    }
    if let Some(origin) = leaf {
        settings.ignore(&origin, "blockIO.leafWeight");
    }
    for (name, key, devices) in [
        ("throttleReadBpsDevice", "rbps", block_io.throttle_read_bps_device()),
        ("throttleWriteBpsDevice", "wbps", block_io.throttle_write_bps_device()),
        ("throttleReadIOPSDevice", "riops", block_io.throttle_read_iops_device()),
        ("throttleWriteIOPSDevice", "wiops", block_io.throttle_write_iops_device()),
    ] {
        throttle(&below(IO, name), key, devices.as_deref().unwrap_or_default(), settings)?;
    }
    Ok(())
}

/// The BFQ scheduler has a file of its own for the weight; otherwise it is the cost model's, which counts from 1 to 10000.
fn set_weight(
    origin: &str,
    device: Option<(i64, i64)>,
    weight: u16,
    settings: &mut Settings<'_>,
) -> Result<(), Invalid> {
    if !(10..=1000).contains(&weight) {
        return Err(Invalid::new(origin, format!("a weight is between 10 and 1000, not {weight}")));
    }
    let value = |weight: u32| match device {
        None => weight.to_string(),
        Some((major, minor)) => format!("{major}:{minor} {weight}"),
    };
    let other = 1 + (u32::from(weight) - 10) * 9999 / 990;
    let instead = IfMissing::Instead(CString::from(c"io.weight"), value(other).into_bytes());
    settings.set_or(origin, "io.bfq.weight", value(weight.into()), instead)
}

/// One write for each device and each limit: the kernel takes one device at a time.
fn throttle(
    origin: &str,
    key: &str,
    devices: &[LinuxThrottleDevice],
    settings: &mut Settings<'_>,
) -> Result<(), Invalid> {
    for (index, device) in devices.iter().enumerate() {
        let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
        let value = format!("{}:{} {key}={rate}", device.major(), device.minor());
        settings.set(&below(origin, index), "io.max", value)?;
    }
    Ok(())
}
