public import CPCIDMA
internal import DMA

/// A list as the mapping has it, beside the caller's own.
@safe
struct MappedList: BitwiseCopyable {
  var entries: UnsafeMutableBufferPointer<ScatterEntry>
  /// How many of the caller's entries the device was given.
  var segmentCount: Int
}

/// No list has more entries: a count beyond is a mistake, and must not make us read on.
private let entryCountMax = 65536

extension DeviceBox {
  /// Whether a list can be looked at: neither absent, nor misaligned, nor of an absurd length.
  fileprivate func canRead(
    _ sg: UnsafeMutablePointer<scatterlist>?, _ count: Int32, _ place: Place, _ call: StaticString
  ) -> UnsafeMutablePointer<scatterlist>? {
    guard let sg = unsafe sg,
      unsafe UInt(bitPattern: sg) % UInt(MemoryLayout<scatterlist>.alignment) == 0
    else {
      refuse(place, "\(call) was given no list, or one that is not aligned")
      return nil
    }
    guard count > 0, count <= entryCountMax else {
      refuse(place, "\(call) was given \(count) entries")
      return nil
    }
    return unsafe sg
  }

  /// Where the CPU has an entry's bytes.
  fileprivate static func address(_ entry: scatterlist) -> UInt? {
    if let address = unsafe entry.address { return UInt(bitPattern: address) }
    guard let page = unsafe entry.page else { return nil }
    let (sum, overflow) = unsafe UInt(bitPattern: page).addingReportingOverflow(UInt(entry.offset))
    return overflow ? nil : sum
  }

  /// The caller's list for the mapping; each entry is checked before the next is read.
  fileprivate func entries(
    _ sg: UnsafeMutablePointer<scatterlist>, _ count: Int, _ direction: DMADirection,
    _ place: Place
  ) -> UnsafeMutableBufferPointer<ScatterEntry>? {
    let entries = UnsafeMutableBufferPointer<ScatterEntry>.allocate(capacity: count)
    for index in 0..<count {
      let entry = unsafe sg[index]
      do throws(DMAError) {
        guard let address = unsafe Self.address(entry), unsafe entry.length > 0,
          unsafe entry.address == nil || entry.page == nil
        else { throw .emptyRequest }
        unsafe entries.initializeElement(
          at: index,
          to: try dma.scatterEntry(cpuAddress: address, byteCount: Int(entry.length)))
      } catch {
        fail(error)
        unsafe entries.deallocate()
        unsafe reject(entry, index, error, direction, place)
        return nil
      }
    }
    return unsafe entries
  }

  /// Says what is wrong with an entry.
  private func reject(
    _ entry: scatterlist, _ index: Int, _ error: DMAError, _ direction: DMADirection,
    _ place: Place
  ) {
    guard case .notDMAable = error, let address = unsafe Self.address(entry) else {
      machine.report(
        "invalid-scatter-entry", dma.name, place.site,
        "entry \(index) of a list has no bytes, no address, or both an address and a page")
      return
    }
    // The kind of memory decides the rule, as for a single region: it is refused again, and told.
    do throws(DMAError) {
      let handle = unsafe try dma.mapSingle(
        cpuAddress: address, byteCount: Int(entry.length), direction: direction, site: place.site)
      unsafe try dma.unmapSingle(
        handle, byteCount: Int(entry.length), direction: direction, site: place.site)
    } catch {}
  }
}

@c @implementation
public func swiftdma_at_map_sg(
  _ dev: UnsafeRawPointer?, _ sg: UnsafeMutablePointer<scatterlist>?, _ nents: Int32,
  _ direction: Int32, _ file: UnsafePointer<CChar>?, _ place: UInt64
) -> Int32 {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_map_sg"),
    let direction = box.checked(direction, place, "pci_map_sg"),
    let list = unsafe box.canRead(sg, nents, place, "pci_map_sg")
  else { return 0 }
  guard !box.isMaskRefused else {
    fail(Errno.io)
    return 0
  }
  let key = UInt64(UInt(bitPattern: list))
  guard box.lock.withLock({ box.lists[key] == nil }) else {
    fail(Errno.busy)
    box.machine.report(
      "scatter-list-mapped-twice", box.dma.name, place.site,
      "a list that is mapped was mapped again")
    return 0
  }
  let count = Int(nents)
  guard let entries = unsafe box.entries(list, count, direction, place) else {
    for index in 0..<min(count, 1) { unsafe list[index].clearMapping() }
    return 0
  }
  do throws(DMAError) {
    let segments = unsafe try box.dma.mapScatter(entries, direction: direction, site: place.site)
    for index in 0..<count {
      unsafe list[index].dma_address = unsafe entries[index].dmaAddress
      unsafe list[index].dma_length = unsafe UInt32(truncatingIfNeeded: entries[index].dmaByteCount)
    }
    box.lock.withLock {
      _ = unsafe box.lists.insert(MappedList(entries: entries, segmentCount: segments), for: key)
    }
    return Int32(segments)
  } catch {
    unsafe entries.deallocate()
    for index in 0..<count { unsafe list[index].clearMapping() }
    fail(error)
    return 0
  }
}

extension scatterlist {
  /// Unmapped, and known to be.
  fileprivate mutating func clearMapping() {
    unsafe dma_address = .max
    unsafe dma_length = 0
  }
}

@c @implementation
public func swiftdma_at_unmap_sg(
  _ dev: UnsafeRawPointer?, _ sg: UnsafeMutablePointer<scatterlist>?, _ nents: Int32,
  _ direction: Int32, _ file: UnsafePointer<CChar>?, _ place: UInt64
) {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_unmap_sg"),
    let direction = box.checked(direction, place, "pci_unmap_sg"),
    let list = unsafe box.canRead(sg, nents, place, "pci_unmap_sg")
  else { return }
  unsafe box.withMapped(list, Int(nents)) { entries throws(DMAError) in
    unsafe try box.dma.unmapScatter(
      entries, count: Int(nents), direction: direction, site: place.site)
    if let mapped = box.lock.withLock({ box.lists.remove(UInt64(UInt(bitPattern: list))) }) {
      unsafe mapped.entries.deallocate()
    }
  }
}

@c @implementation
public func swiftdma_at_sync_sg(
  _ dev: UnsafeRawPointer?, _ sg: UnsafeMutablePointer<scatterlist>?, _ nents: Int32,
  _ direction: Int32, _ file: UnsafePointer<CChar>?, _ place: UInt64
) {
  let place = unsafe Place(file, place)
  guard let box = unsafe lookUp(dev, place, "pci_dma_sync_sg"),
    let direction = box.checked(direction, place, "pci_dma_sync_sg"),
    let list = unsafe box.canRead(sg, nents, place, "pci_dma_sync_sg")
  else { return }
  unsafe box.withMapped(list, Int(nents)) { entries throws(DMAError) in
    for isForCPU in syncs(place, direction) {
      unsafe try box.dma.syncScatter(
        entries, count: Int(nents), direction: direction, forCPU: isForCPU, site: place.site)
    }
  }
}

extension DeviceBox {
  /// Calls `body` with the mapping's entries of a list, or with one made of what the caller's list
  /// says when it is not mapped here: the core then says what is wrong with it.
  fileprivate func withMapped(
    _ list: UnsafeMutablePointer<scatterlist>, _ count: Int,
    _ body: (UnsafeMutableBufferPointer<ScatterEntry>) throws(DMAError) -> Void
  ) {
    let known = lock.withLock { lists[UInt64(UInt(bitPattern: list))] }
    do throws(DMAError) {
      if let known {
        unsafe try body(known.entries)
      } else {
        var stray = unsafe ScatterEntry(
          cpuAddress: 0, physicalAddress: 0, byteCount: Int(list.pointee.length))
        stray.dmaAddress = unsafe list.pointee.dma_address
        stray.dmaByteCount = unsafe Int(list.pointee.dma_length)
        let entries = UnsafeMutableBufferPointer<ScatterEntry>.allocate(capacity: 1)
        unsafe entries.initialize(repeating: stray)
        defer { unsafe entries.deallocate() }
        unsafe try body(entries)
      }
    } catch { fail(error) }
  }
}
