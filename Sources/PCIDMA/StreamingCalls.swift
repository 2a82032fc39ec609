public import CPCIDMA
internal import DMA

@c @implementation
public func swiftdma_at_map(
  _ dev: UnsafeRawPointer?, _ address: UnsafeMutableRawPointer?, _ size: Int, _ direction: Int32,
  _ file: UnsafePointer<CChar>?, _ place: UInt64
) -> dma_addr_t {
  unsafe map(dev, UInt(bitPattern: address), size, direction, Place(file, place), "pci_map_single")
}

@c @implementation
public func swiftdma_at_map_page(
  _ dev: UnsafeRawPointer?, _ page: OpaquePointer?, _ offset: Int, _ size: Int,
  _ direction: Int32, _ file: UnsafePointer<CChar>?, _ place: UInt64
) -> dma_addr_t {
  let place = unsafe Place(file, place)
  // A page is named by its CPU address.
  let (start, overflow) = UInt(bitPattern: page).addingReportingOverflow(
    UInt(bitPattern: offset))
  guard unsafe page != nil, !overflow else {
    unsafe lookUp(dev, place, "pci_map_page")?.refuse(place, "pci_map_page was given no page")
    return .max
  }
  return unsafe map(dev, start, size, direction, place, "pci_map_page")
}

private func map(
  _ dev: UnsafeRawPointer?, _ address: UInt, _ size: Int, _ value: Int32, _ place: Place,
  _ call: StaticString
) -> dma_addr_t {
  guard let box = unsafe lookUp(dev, place, call),
    let direction = box.checked(value, place, call)
  else { return .max }
  // More than half of all addresses is a negative number that became a size.
  guard size >= 0 else {
    box.refuse(place, "\(call) was given \(UInt(bitPattern: size)) bytes")
    return .max
  }
  guard !box.isMaskRefused else {
    fail(Errno.io)
    return .max
  }
  do throws(DMAError) {
    return try box.dma.mapSingle(
      cpuAddress: address, byteCount: size, direction: direction,
      isErrorCheckExpected: place.isTested || box.machine.expectsErrorTests, site: place.site
    ).rawValue
  } catch {
    fail(error)
    return .max
  }
}

@c @implementation
public func swiftdma_at_unmap(
  _ dev: UnsafeRawPointer?, _ handle: dma_addr_t, _ size: Int, _ direction: Int32,
  _ file: UnsafePointer<CChar>?, _ place: UInt64
) {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_unmap_single"),
    let direction = box.checked(direction, place, "pci_unmap_single")
  else { return }
  do throws(DMAError) {
    try box.dma.unmapSingle(
      DMAAddress(rawValue: handle), byteCount: size, direction: direction, site: place.site)
  } catch { fail(error) }
}

@c @implementation
public func swiftdma_at_sync(
  _ dev: UnsafeRawPointer?, _ handle: dma_addr_t, _ size: Int, _ direction: Int32,
  _ file: UnsafePointer<CChar>?, _ place: UInt64
) {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_dma_sync_single"),
    let direction = box.checked(direction, place, "pci_dma_sync_single")
  else { return }
  do throws(DMAError) {
    for isForCPU in syncs(place, direction) {
      try box.dma.syncSingle(
        DMAAddress(rawValue: handle), byteCount: size, direction: direction, forCPU: isForCPU,
        site: place.site)
    }
  } catch { fail(error) }
}

/// What a sync does, in order: for the CPU (true), for the device (false).
///
/// The document's one call shows the CPU what the device did, and then the memory is the device's
/// again without another call (R101); to-device memory goes to the device (T4, T5).
func syncs(_ place: Place, _ direction: DMADirection) -> [Bool] {
  switch (place.isForCPU, place.isForDevice) {
  case (true, true): direction == .toDevice ? [false] : [true, false]
  case (true, false): [true]
  default: [false]
  }
}

@c @implementation
public func swiftdma_at_mapping_error(
  _ dev: UnsafeRawPointer?, _ handle: dma_addr_t, _ file: UnsafePointer<CChar>?, _ place: UInt64
) -> Int32 {
  let place = unsafe Place(file, place)
  guard handle != .max else { return -Errno.noMemory }
  unsafe lookUp(dev, place, "dma_mapping_error")?.dma.noteErrorCheck(
    DMAAddress(rawValue: handle), site: place.site)
  return 0
}
