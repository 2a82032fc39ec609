public import CPCIDMA
internal import DMA

@c @implementation
public func swiftdma_at_supported(
  _ dev: UnsafeRawPointer?, _ mask: UInt64, _ file: UnsafePointer<CChar>?, _ place: UInt64
) -> Int32 {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_dma_supported"),
    let mask = DMAMask(rawValue: mask)
  else { return 0 }
  return box.dma.supports(mask) ? 1 : 0
}

@c @implementation
public func swiftdma_at_set_mask(
  _ dev: UnsafeRawPointer?, _ mask: UInt64, _ file: UnsafePointer<CChar>?, _ place: UInt64
) -> Int32 {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_set_dma_mask") else { return -Errno.noDevice }
  // The device of buses without devices has the mask that it has.
  guard let mask = DMAMask(rawValue: mask), unsafe box.slot != nil else { return fail(Errno.io) }
  do throws(DMAError) {
    if place.isStreaming && place.isCoherent {
      try box.dma.setMask(mask, site: place.site)
    } else if place.isStreaming {
      try box.dma.setStreamingMask(mask, site: place.site)
    } else {
      try box.dma.setCoherentMask(mask, site: place.site)
    }
  } catch { return fail(error) }
  if place.isStreaming { box.publishMask() }
  return 0
}

@c @implementation
public func swiftdma_at_alloc(
  _ dev: UnsafeRawPointer?, _ size: Int, _ handle: UnsafeMutablePointer<dma_addr_t>?,
  _ file: UnsafePointer<CChar>?, _ place: UInt64
) -> UnsafeMutableRawPointer? {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_alloc_consistent") else { return nil }
  guard let handle = unsafe handle, size > 0 else {
    box.refuse(place, "pci_alloc_consistent was given no place for the handle, or no size")
    return nil
  }
  guard !box.isMaskRefused else {
    fail(Errno.io)
    return nil
  }
  do throws(DMAError) {
    let memory = try box.dma.allocateConsistent(byteCount: size, site: place.site)
    unsafe handle.pointee = memory.address.rawValue
    return unsafe memory.cpuAddress
  } catch {
    fail(error)
    return nil
  }
}

@c @implementation
public func swiftdma_at_free(
  _ dev: UnsafeRawPointer?, _ size: Int, _ address: UnsafeMutableRawPointer?, _ handle: dma_addr_t,
  _ file: UnsafePointer<CChar>?, _ place: UInt64
) {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_free_consistent") else { return }
  do throws(DMAError) {
    unsafe try box.dma.freeConsistent(
      byteCount: size, cpuAddress: address, address: DMAAddress(rawValue: handle),
      site: place.site)
  } catch {
    fail(error)
    if error == .forbiddenInInterrupt {
      box.machine.report(
        "free-in-interrupt", box.dma.name, place.site,
        "consistent memory may not be freed in an interrupt")
    }
  }
}

extension DeviceBox {
  /// Refuses a call whose arguments cannot be meant.
  func refuse(_ place: Place, _ text: String) {
    fail(Errno.invalid)
    machine.report("invalid-argument", dma.name, place.site, text)
  }

  /// The direction of a call; nil, and reported, for "none" and worse.
  func checked(_ value: Int32, _ place: Place, _ call: StaticString) -> DMADirection? {
    if let known = direction(value) { return known }
    fail(Errno.invalid)
    machine.report(
      "invalid-direction", dma.name, place.site,
      value == 3
        ? "\(call) was given PCI_DMA_NONE: the direction was never set"
        : "\(call) was given direction \(value)")
    return nil
  }
}
