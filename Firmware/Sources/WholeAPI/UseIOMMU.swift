import DMA
import DMAMapping

func useIOMMU(_ seen: inout Expectations, _ machine: SmallMachine) {
  useAddressSpace(&seen)
  useOwnUnit(&seen, machine)
  useVTD(&seen, machine)
}

private func useAddressSpace(_ seen: inout Expectations) {
  let space = IOVASpace(last: 0xfff_ffff, isCaching: false)
  space.reserve(0...0xfff)
  let address = space.allocate(pageCount: 3, last: 0xff_ffff)
  seen.expect(address.map { $0 != 0 && $0 <= 0xff_ffff } ?? false)
  seen.expect(space.takenPageCount >= 4)
  if let address { space.free(address, pageCount: 3) }
  space.flushCaches()
  seen.expect(space.takenPageCount == 1)
}

private func useOwnUnit(_ seen: inout Expectations, _ machine: SmallMachine) {
  let own = OwnUnit()
  let unit = unsafe IOMMUUnit(
    operations: UnsafePointer(own.operations), context: UnsafeMutableRawPointer(own.attached),
    owner: own, levels: 3, lastAddress: 1 << 39 - 1, walksCoherently: true,
    cachesAbsentEntries: false, reserved: 0xfee0_0000...0xfeef_ffff)
  seen.expect(unit.levels == 3 && unit.lastAddress == 1 << 39 - 1 && unit.walksCoherently)
  seen.expect(!unit.cachesAbsentEntries && unit.reserved?.lowerBound == 0xfee0_0000)
  var options = IOMMUDomain.Options()
  let lazy: IOMMUDomain.Invalidation = .deferred(nanoseconds: 1_000_000)
  options.invalidation = lazy
  options.lastAddress = 0xffff_ffff
  options.prefersAddressesBelow4GiB = true
  options.cachesAddresses = false
  options.notices = Notices().receiver
  do throws(DMAError) {
    let domain = try IOMMUDomain(platform: machine.platform, unit: unit, options: options)
    try domain.mapIdentity(0x8_0000...0x8_0fff, .fromDevice)
    domain.reserve(0x10_0000...0x1f_ffff)
    try domain.attach(requester: 8)
    seen.expect(unsafe own.attached.pointee == 8 && domain.id == 7)
    let device = DMADevice(
      name: "translated", platform: machine.platform, mapping: domain.mapping)
    let mapped = try StreamingBuffer(byteCount: 5000, in: machine.platform)
      .map(ToDevice.self, for: device).get()
    seen.expect(domain.validEntryCount == 2 && domain.tablePageCount >= 3)
    seen.expect(domain.tableLevels == 3 && domain.rootTable.rawValue != 0)
    seen.expect(!domain.usesWideAddresses && domain.takenPageCount >= 2)
    _ = mapped.unmap()
    seen.expect(domain.waitingRangeCount == 1)
    domain.flushIfDue()
    domain.flush()
    seen.expect(domain.waitingRangeCount == 0 && domain.validEntryCount == 0)
    seen.expect(domain.invalidationCounts.ranges + domain.invalidationCounts.domains > 0)
    seen.expect(domain.abandonedPageCount == 0)
    try domain.detach(requester: 8)
    seen.expect(unsafe own.attached.pointee == 0)
  } catch { seen.expect(false) }
}

private func useVTD(_ seen: inout Expectations, _ machine: SmallMachine) {
  var options = VTDUnit.Options()
  options.usesQueue = false
  options.tableLevels = 3
  do throws(DMAError) {
    let vtd = try VTDUnit(
      registers: machine.unit.registers, platform: machine.platform, options: options)
    seen.expect(vtd.isTranslating && vtd.invalidationCount > 0)
    vtd.reportFaults()
    var faults = 0
    let lost = vtd.takeFaults { (fault: IOMMUFault) in
      let reason: IOMMUFault.Reason = fault.reason
      let expected = IOMMUFault(requester: 8, address: 0x5000, isWrite: false, code: 6)
      if fault == expected, reason == .readNotPermitted, fault.description.utf8.count > 0 {
        faults += 1
      }
    }
    seen.expect(faults == 1 && !lost)
    let domain = try IOMMUDomain(platform: machine.platform, unit: vtd.unit)
    try domain.attach(requester: 8)
    let device = DMADevice(name: "vt-d", platform: machine.platform, mapping: domain.mapping)
    let mapped = try StreamingBuffer(byteCount: 1, in: machine.platform)
      .map(FromDevice.self, for: device).get()
    seen.expect(domain.validEntryCount == 1)
    _ = mapped.unmap()
    seen.expect(domain.validEntryCount == 0)
  } catch { seen.expect(false) }
}
