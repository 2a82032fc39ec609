#if CLI
  import ArgumentParser
  internal import DMA
  internal import DMAChecker
  internal import DMAMapping
  internal import PCI
  internal import SimulatedMachine

  /// A small driver with one bug of each family, and what the checker says about each.
  struct BugDemo {
    private let machine: SimulatedMachine
    private let card = BugCard()
    private let device: PCIDevice
    private let list: FindingList
    private var dma: DMADevice { device.dma }

    /// A bug, and the rule that has to find it.
    private struct Bug {
      let story: String
      let rule: CheckRule
      let run: (BugDemo) throws(DMAError) -> Void
    }

    static func run() throws {
      print(
        """
        A driver with bugs, on a simulated machine whose bus tells the checker what the device does.
        Most of them cannot be written with the Swift types; they are made here with the calls that
        C drivers have.
        """)
      var missed = 0
      let bugs = Self.bugs
      for (index, bug) in bugs.enumerated() {
        print("\n\(index + 1). \(bug.story)\n")
        let found: [Finding]
        do {
          let demo = try BugDemo()
          // The driver's call may be refused: that is how misuse is told in code.
          do throws(DMAError) { try bug.run(demo) } catch {
            print("   refused: \(error)\n")
          }
          found = demo.end()
        } catch {
          throw Failure.failed("the simulated machine: \(error)")
        }
        for finding in found where finding.rule == bug.rule {
          print("   " + finding.text().replacing("\n", with: "\n   "))
        }
        if !found.contains(where: { $0.rule == bug.rule }) {
          print("   NOT FOUND")
          missed += 1
        }
      }
      print("\n\(bugs.count) bugs, \(bugs.count - missed) found.")
      guard missed == 0 else { throw ExitCode(1) }
    }

    private init() throws {
      machine = try SimulatedMachine()
      let address = try machine.attach(card)
      device = try PCIDevice(
        host: machine.pci, address: address, mapping: DirectMapping.make(for: machine.platform))
      device.enableBusMastering()
      var options = DMAChecker.Options()
      options.hashesContent = true
      list = FindingList(options)
      list.checker.attach(to: device.dma)
      machine.setAccessObserver { [checker = list.checker, dma = device.dma] access in
        checker.reportAccess(
          dma, address: DMAAddress(rawValue: access.address), byteCount: access.byteCount,
          isWrite: access.isWrite)
      }
    }

    private func end() -> [Finding] {
      machine.setAccessObserver(nil)
      device.remove()
      list.checker.finish()
      return list.findings
    }

    private func page() throws(DMAError) -> (UInt, CoherentMemory) {
      let memory = try dma.allocateConsistent(byteCount: 4096, site: here())
      return unsafe (UInt(bitPattern: memory.cpuAddress), memory)
    }

    private func here(_ file: StaticString = #fileID, _ line: UInt32 = #line) -> CallSite {
      CallSite(file, line)
    }

    private static var bugs: [Bug] {
      [
        Bug(story: "Release: a mapping is unmapped twice.", rule: .doubleRelease) {
          demo throws(DMAError) in
          let (start, _) = try demo.page()
          let handle = try demo.dma.mapSingle(
            cpuAddress: start, byteCount: 1500, direction: .toDevice, site: demo.here())
          try demo.dma.unmapSingle(
            handle, byteCount: 1500, direction: .toDevice, site: demo.here())
          try demo.dma.unmapSingle(
            handle, byteCount: 1500, direction: .toDevice, site: demo.here())
        },
        Bug(story: "Release: the length is the packet's, not the mapping's.", rule: .sizeDiffers) {
          demo throws(DMAError) in
          let (start, _) = try demo.page()
          let handle = try demo.dma.mapSingle(
            cpuAddress: start, byteCount: 2048, direction: .fromDevice, site: demo.here())
          try demo.dma.unmapSingle(
            handle, byteCount: 60, direction: .fromDevice, site: demo.here())
        },
        Bug(story: "Map: an address that is no memory for DMA.", rule: .mapOfInvalidArea) {
          demo throws(DMAError) in
          _ = try demo.dma.mapSingle(
            cpuAddress: 4096, byteCount: 64, direction: .toDevice, site: demo.here())
        },
        Bug(story: "Map: two receive buffers share a cache line.", rule: .overlappingCacheLine) {
          demo throws(DMAError) in
          let (start, _) = try demo.page()
          for index in 0..<2 as Range<UInt> {
            _ = try demo.dma.mapSingle(
              cpuAddress: start + index * 1500, byteCount: 1500, direction: .fromDevice,
              site: demo.here())
          }
        },
        Bug(story: "Sync: it reaches beyond the mapping.", rule: .syncOutside) {
          demo throws(DMAError) in
          let (start, _) = try demo.page()
          let handle = try demo.dma.mapSingle(
            cpuAddress: start, byteCount: 64, direction: .fromDevice, site: demo.here())
          try demo.dma.syncSingle(
            handle, byteCount: 128, direction: .fromDevice, forCPU: true, site: demo.here())
        },
        Bug(
          story: "Ownership: the CPU writes while the device has the memory.", rule: .memoryChanged
        ) {
          demo throws(DMAError) in
          let (start, memory) = try demo.page()
          let handle = try demo.dma.mapSingle(
            cpuAddress: start, byteCount: 64, direction: .toDevice, site: demo.here())
          unsafe memory.cpuAddress.storeBytes(of: 1, as: UInt8.self)
          try demo.dma.unmapSingle(handle, byteCount: 64, direction: .toDevice, site: demo.here())
        },
        Bug(story: "Ownership: a live mapping is dropped.", rule: .mappingDropped) {
          demo throws(DMAError) in
          let buffer = try StreamingBuffer(byteCount: 1500, for: demo.dma)
          _ = try buffer.map(FromDevice.self, for: demo.dma).get()
        },
        Bug(story: "Device: it writes after the unmap.", rule: .deviceUseAfterUnmap) {
          demo throws(DMAError) in
          let buffer = try StreamingBuffer(byteCount: 64, for: demo.dma)
          let mapping = try buffer.map(FromDevice.self, for: demo.dma).get()
          let address = mapping.address.rawValue
          _ = mapping.unmap()
          demo.card.write(address, 4)
        },
        Bug(story: "Device: it writes one byte too many.", rule: .deviceOutside) {
          demo throws(DMAError) in
          let buffer = try StreamingBuffer(byteCount: 64, for: demo.dma)
          let mapping = try buffer.map(FromDevice.self, for: demo.dma).get()
          demo.card.write(mapping.address.rawValue, 65)
          _ = mapping.unmap()
        },
        Bug(story: "Mask: it is changed while a mapping is live.", rule: .maskChangedWhileMapped) {
          demo throws(DMAError) in
          let buffer = try StreamingBuffer(byteCount: 64, for: demo.dma)
          let mapping = try buffer.map(ToDevice.self, for: demo.dma).get()
          try demo.dma.setMask(.bits24)
          _ = mapping.unmap()
        },
        Bug(story: "Pool: a block is freed twice.", rule: .poolDoubleFree) {
          demo throws(DMAError) in
          let pool = try DMAPool(name: "descriptors", blockSize: 64, for: demo.dma)
          let block = try pool.allocateRaw(demo.here())
          try unsafe pool.freeRaw(
            cpuAddress: block.cpuAddress, address: block.address, demo.here())
          try unsafe pool.freeRaw(
            cpuAddress: block.cpuAddress, address: block.address, demo.here())
        },
        Bug(story: "Leak: the driver leaves, its mappings stay.", rule: .leak) {
          demo throws(DMAError) in
          for _ in 0..<10 {
            let (start, _) = try demo.page()
            _ = try demo.dma.mapSingle(
              cpuAddress: start, byteCount: 1500, direction: .toDevice, site: demo.here())
            demo.machine.platform.relax()
          }
        },
      ]
    }
  }

  /// A card that writes where it is told.
  private final class BugCard: SimulatedDevice {
    init() {
      super.init(
        identity: PCIIdentity(vendorID: 0x1af4, deviceID: 0xb06d, classCode: 0xff_0000),
        bars: [SimulatedBAR(index: 0, byteCount: 4096)])
    }

    func write(_ address: UInt64, _ byteCount: Int) {
      let bytes = [UInt8](repeating: 0xbd, count: byteCount)
      // SAFETY: the array outlives the call.
      unsafe bytes.withUnsafeBytes { _ = unsafe writeMemory(address, from: $0) }
    }
  }
#endif
