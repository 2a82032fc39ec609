public import CPCIDMA
internal import DMA

/// A pool as C programs have it.
final class PoolBox {
  let device: DeviceBox
  let pool: DMAPool

  init(device: DeviceBox, pool: DMAPool) {
    self.device = device
    self.pool = pool
  }
}

extension RawPool {
  /// What a live pool's slot says; nil for any other pool, and for what is none.
  @inline(__always)
  fileprivate init?(_ pointer: UnsafeMutablePointer<pci_pool>?) {
    // SAFETY: set together before the magazines were; a live slot's pool lives.
    guard let slot = unsafe swiftdma_quick_pool(pointer) else { return nil }
    unsafe self.init(
      core: slot.pointee.core.unsafelyUnwrapped,
      magazines: slot.pointee.magazines.unsafelyUnwrapped,
      device: slot.pointee.device.unsafelyUnwrapped)
  }
}

extension DeviceBox {
  fileprivate func reportPool(_ rule: StaticString, _ place: Place, _ text: String) {
    machine.report(rule, dma.name, place.site, text)
  }
}

/// The pool that a call means; nil, and reported, when it is none.
private func pool(
  _ pointer: UnsafeMutablePointer<pci_pool>?, _ place: Place, _ call: StaticString
) -> PoolBox? {
  guard let slot = unsafe swiftdma_find_pool(pointer), let object = unsafe slot.pointee.object
  else {
    fail(Errno.invalid)
    Registry.shared.current?.report(
      "unknown-pool", "-", place.site, "\(call) was given a pool that does not exist")
    return nil
  }
  // SAFETY: a live slot holds its object.
  return unsafe Unmanaged<PoolBox>.fromOpaque(object).takeUnretainedValue()
}

@c @implementation
public func swiftdma_at_pool_create(
  _ name: UnsafePointer<CChar>?, _ dev: UnsafeRawPointer?, _ size: Int, _ align: Int,
  _ boundary: Int, _ flags: Int32, _ file: UnsafePointer<CChar>?, _ place: UInt64
) -> UnsafeMutablePointer<pci_pool>? {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_pool_create") else { return nil }
  guard let name = unsafe name, !box.isMaskRefused else {
    box.refuse(place, "pci_pool_create was given no name, or its device has no mask")
    return nil
  }
  var options: DMAPoolOptions = []
  // Other flags are harmless (R62).
  if flags & Int32(SLAB_POISON) != 0 { options.insert(.poisoned) }
  do throws(DMAError) {
    let pool = unsafe try DMAPool(
      name: text(name, limit: 31), blockSize: size, alignment: align, boundary: boundary,
      for: box.dma, options: options, site: place.site)
    guard let slot = unsafe Registry.shared.with({ unsafe $0.takePool() }) else {
      throw .machine(code: 23)
    }
    unsafe PoolBox.publish(pool, slot)
    unsafe slot.pointee.object = unsafe Unmanaged.passRetained(PoolBox(device: box, pool: pool))
      .toOpaque()
    unsafe swiftdma_set_state(&slot.pointee.state, SlotState.live)
    unsafe box.machine.add(slot)
    return unsafe slot
  } catch {
    fail(error)
    box.reportPool("invalid-argument", place, "pci_pool_create: \(error.description)")
    return nil
  }
}

@c @implementation
public func swiftdma_at_pool_alloc(
  _ pointer: UnsafeMutablePointer<pci_pool>?, _ flags: Int32,
  _ handle: UnsafeMutablePointer<dma_addr_t>?,
  _ file: UnsafePointer<CChar>?, _ place: UInt64
) -> UnsafeMutableRawPointer? {
  guard _fastPath(flags & Int32(__GFP_WAIT | __GFP_ZERO) == 0) || isPlain(flags),
    let quick = unsafe RawPool(pointer)
  else { return unsafe swiftdma_pool_alloc_slowly(pointer, flags, handle, file, place) }
  guard let handle = unsafe handle else {
    return unsafe swiftdma_pool_alloc_slowly(pointer, flags, nil, file, place)
  }
  return unsafe quick.take(handle) {
    unsafe swiftdma_pool_alloc_slowly(pointer, flags, handle, file, place)
  }
}

/// Whether nothing but a block is asked for that may be waited for.
@inline(__always)
private func isPlain(_ flags: Int32) -> Bool {
  flags & Int32(__GFP_ZERO) == 0 && !ExecutionContext.current.isAtomic
}

@c @implementation
public func swiftdma_pool_alloc_slowly(
  _ pointer: UnsafeMutablePointer<pci_pool>?, _ flags: Int32,
  _ handle: UnsafeMutablePointer<dma_addr_t>?, _ file: UnsafePointer<CChar>?, _ word: UInt64
) -> UnsafeMutableRawPointer? {
  let place = unsafe Place(file, word)
  guard let box = unsafe pool(pointer, place, "pci_pool_alloc") else { return nil }
  guard let handle = unsafe handle else {
    box.device.refuse(place, "pci_pool_alloc was given no place for the handle")
    return nil
  }
  let mayWait = flags & Int32(__GFP_WAIT) != 0
  guard !mayWait || swiftdma_is_atomic() == 0 else {
    fail(Errno.again)
    box.device.reportPool(
      "sleep-in-atomic-context", place,
      "pci_pool_alloc may wait with these flags, and was called in an interrupt or with a lock"
        + " held")
    return nil
  }
  do throws(DMAError) {
    let memory = try box.allocate(mayWait: mayWait, place)
    unsafe handle.pointee = memory.address.rawValue
    if flags & Int32(__GFP_ZERO) != 0 {
      unsafe memory.cpuAddress.initializeMemory(
        as: UInt8.self, repeating: 0, count: box.pool.blockSize)
    }
    return unsafe memory.cpuAddress
  } catch {
    fail(error)
    return nil
  }
}

extension PoolBox {
  private static var longWait: UInt64 { 100_000_000 }
  private static var longestWait: UInt64 { 10_000_000_000 }

  fileprivate func allocate(mayWait: Bool, _ place: Place) throws(DMAError) -> CoherentMemory {
    do throws(DMAError) {
      return try pool.allocateRaw(place.site)
    } catch {
      guard mayWait, error.isTransient else { throw error }
    }
    let platform = pool.device.platform
    let begun = platform.nanoseconds
    var isReported = false
    while true {
      // What a handler of ours frees counts as well as what other threads free.
      device.machine.relax()
      do throws(DMAError) {
        return try pool.allocateRaw(
          deadlineNanoseconds: platform.nanoseconds + 1_000_000, place.site)
      } catch {
        guard error.isTransient else { throw error }
      }
      let waited = platform.nanoseconds &- begun
      if waited >= Self.longWait, !isReported {
        isReported = true
        device.reportPool(
          "long-wait", place, "pci_pool_alloc has waited 100 ms for a block of \(pool.name)")
      }
      guard waited < Self.longestWait else { throw .timedOut }
    }
  }
}

@c @implementation
public func swiftdma_at_pool_free(
  _ pointer: UnsafeMutablePointer<pci_pool>?, _ address: UnsafeMutableRawPointer?,
  _ handle: dma_addr_t,
  _ file: UnsafePointer<CChar>?, _ place: UInt64
) {
  if let quick = unsafe RawPool(pointer),
    quick.putLastTaken(UInt(bitPattern: address), handle)
  {
    return
  }
  unsafe freeOther(pointer, address, handle, file, place)
}

/// Frees another block than the one that the thread took last.
@inline(never)
private func freeOther(
  _ pointer: UnsafeMutablePointer<pci_pool>?, _ address: UnsafeMutableRawPointer?,
  _ handle: dma_addr_t, _ file: UnsafePointer<CChar>?, _ place: UInt64
) {
  if let quick = unsafe RawPool(pointer), quick.put(UInt(bitPattern: address), handle) { return }
  unsafe freeSlowly(pointer, address, handle, Place(file, place))
}

@inline(never)
private func freeSlowly(
  _ pointer: UnsafeMutablePointer<pci_pool>?, _ address: UnsafeMutableRawPointer?,
  _ handle: dma_addr_t,
  _ place: Place
) {
  guard let box = unsafe pool(pointer, place, "pci_pool_free") else { return }
  do throws(DMAError) {
    unsafe try box.pool.freeRaw(
      cpuAddress: address, address: DMAAddress(rawValue: handle), place.site)
  } catch { fail(error) }
}

@c @implementation
public func swiftdma_at_pool_destroy(
  _ pointer: UnsafeMutablePointer<pci_pool>?, _ file: UnsafePointer<CChar>?, _ place: UInt64
) {
  let place = unsafe Place(file, place)
  // The later name takes a null pool, as kfree does.
  if unsafe pointer == nil, place.isDevice { return }
  guard let box = unsafe pool(pointer, place, "pci_pool_destroy"),
    let slot = unsafe pointer
  else { return }
  do throws(DMAError) {
    try box.pool.destroy(site: place.site)
    unsafe box.device.machine.remove(slot)
    unsafe PoolBox.end(slot)
  } catch {
    fail(error)
    if error == .forbiddenInInterrupt {
      box.device.reportPool(
        "free-in-interrupt", place, "a pool may not be destroyed in an interrupt")
    }
  }
}

extension PoolBox {
  /// Lets the fast paths use a slot's pool, if it is one for them.
  static func publish(_ pool: DMAPool, _ slot: UnsafeMutablePointer<pci_pool>) {
    guard let quick = unsafe pool.raw?.opaque else { return }
    unsafe slot.pointee.core = unsafe quick.core
    unsafe slot.pointee.device = unsafe quick.device
    unsafe swiftdma_set_magazines(slot, quick.magazines)
  }

  /// Makes a slot free; its pool ends with its object.
  static func end(_ slot: UnsafeMutablePointer<pci_pool>) {
    let object = unsafe slot.pointee.object
    unsafe swiftdma_set_state(&slot.pointee.state, SlotState.free)
    unsafe swiftdma_set_magazines(slot, nil)
    unsafe slot.pointee.object = nil
    // SAFETY: retained when the slot became live.
    if let object = unsafe object { unsafe Unmanaged<PoolBox>.fromOpaque(object).release() }
  }
}
