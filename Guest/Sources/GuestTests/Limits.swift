import CGuestTests
import DMA
import Drivers
import Glibc
import PCI
import VFIOMachine

/// Limits of the host, each provoked: a typed error with what there is, what is needed, what helps.
enum Limits {
  /// The ones that need nothing but a device.
  static func run(_ address: PCIAddress, _ checks: Checks) {
    let ranges = GuestTests.open(address).addressRanges
    // Only an IOMMU whose range is shorter than what may be asked for has such a limit.
    if ranges.allSatisfy({ $0.upperBound - $0.lowerBound < 1 << 46 }) {
      refused(
        address, checks, "aperture",
        {
          $0.memoryByteCount = 1 << 46; $0.pageSize = .small
        }
      ) {
        if case .aperture(let have, let need) = $0 { have < need } else { false }
      }
    } else {
      say("info: aperture: any memory of a process fits into \(ranges)")
    }
    refused(
      address, checks, "mask",
      {
        $0.mode = .arena; $0.addressLimit = .bits24
      }
    ) {
      if case .mask(let have, let need) = $0 { have == 0xff_ffff && need > have } else { false }
    }
    refused(
      address, checks, "reserved region",
      {
        $0.mode = .arena; $0.baseAddress = 0xfee0_0000; $0.memoryByteCount = 2 << 20
      }
    ) {
      if case .reserved(let asked, let usable) = $0 {
        asked.lowerBound == 0xfee0_0000 && !usable.isEmpty
      } else {
        false
      }
    }
    refused(
      address, checks, "no huge pages",
      {
        $0.pageSize = .huge; $0.memoryByteCount = 512 << 20
      }
    ) {
      if case .noHugePages(let have, let need) = $0 { have < need && need == 256 } else { false }
    }
    let first = GuestTests.open(address)
    refused(address, checks, "device in use", { _ in }) {
      if case .deviceInUse(address, _) = $0 { true } else { false }
    }
    first.close()
    refused(PCIAddress(bus: 0x7f, device: 1), checks, "no device", { _ in }) {
      if case .noDevice = $0 { true } else { false }
    }
    refused(PCIAddress(bus: 0, device: 0), checks, "wrong driver", { _ in }) {
      switch $0 {
      case .wrongDriver(_, nil, "vfio-pci"), .noGroup: true
      default: false
      }
    }
  }

  /// Expects that a machine cannot be opened, for this reason.
  private static func refused(
    _ address: PCIAddress, _ checks: Checks, _ words: String,
    _ change: (inout VFIOMachine.Configuration) -> Void, _ isRight: (VFIOError) -> Bool
  ) {
    var configuration = VFIOMachine.Configuration()
    change(&configuration)
    do throws(VFIOError) {
      let machine = try VFIOMachine([address], configuration)
      machine.close()
      checks.expectLimit(words, nil, false)
    } catch {
      checks.expectLimit(words, error.description, isRight(error) && isComplete(error.limit))
    }
  }

  private static func isComplete(_ limit: VFIOLimit) -> Bool {
    !limit.have.isEmpty && !limit.need.isEmpty && !limit.fix.isEmpty
  }

  /// The ones that a script prepares.
  static func provoke(_ name: String, _ address: PCIAddress, _ checks: Checks) {
    switch name {
    case "entries": entries(address, checks)
    case "memlock": memoryLock(address, checks)
    case "group":
      refused(address, checks, "group not viable", { _ in }) {
        if case .groupNotViable(_, let blockers) = $0 {
          blockers == ["0000:00:10.1 (e1000)"]
        } else {
          false
        }
      }
    case "novfio":
      refused(address, checks, "no /dev/vfio", { _ in }) {
        if case .noVFIO("/dev/vfio/vfio") = $0 { true } else { false }
      }
    case "permission":
      guard guest_drop_privileges(1000) == 0 else { abandon("setuid") }
      refused(address, checks, "no permission", { _ in }) {
        if case .noPermission(let path) = $0 { path.hasPrefix("/dev/vfio/") } else { false }
      }
    case "nogroup":
      refused(address, checks, "no IOMMU", { _ in }) { $0 == .noGroup(address) }
    case "interrupts":
      refused(address, checks, "no remapping of interrupts", { _ in }) { $0 == .unsafeInterrupts }
    default: abandon("no limit \(name)")
    }
  }

  /// Fills the kernel's count of mappings, and goes on after an unmap.
  private static func entries(_ address: PCIAddress, _ checks: Checks) {
    let machine = GuestTests.open(address)
    let edu = GuestTests.edu(machine, address)
    do {
      try edu.device.dma.setMask(.bits64)
      let available = machine.entriesAvailable ?? 0
      say("info: \(available) mappings are left")
      // One page, mapped again and again: each is an entry, and costs no memory.
      let page = try StreamingBuffer(byteCount: 4096, in: machine.platform)
      let table = Table(edu.device.dma, page)
      var made = 0
      var refusal: DMAError?
      while refusal == nil && made <= available {
        refusal = table.map()
        if refusal == nil { made += 1 }
      }
      checks.expect("entries: as many as the kernel says", made == available, "\(made)")
      guard let refusal else { return checks.expect("entries: an error", false) }
      checks.expect("entries: \(refusal) passes", refusal.isTransient)
      let error = machine.explain(refusal)
      checks.expectLimit("entries", error.description, error == .mappingEntries(have: 0, need: 1))
      // Many pages in a list take one entry, since neighbours are merged.
      table.unmapOne()
      let list = try ScatterBuffer(
        byteCount: 64 << 12, in: machine.platform, pieceByteCount: 4096)
      edu.device.dma.constraints = try DMAConstraints(segmentByteCountMax: 1 << 20)
      let mapping = try list.map(ToDevice.self, for: edu.device.dma).get()
      checks.expect(
        "entries: a list of 64 neighbours takes the one that was given back",
        mapping.segmentCount == 1 && machine.entriesAvailable == 0)
      _ = mapping.unmap()
      while made > 1 {
        table.unmapOne()
        made -= 1
      }
      checks.expect("entries: all come back", machine.entriesAvailable == available)
    } catch {
      abandon("entries: \(error)")
    }
  }

  /// Maps one page over and over by calls of C's kind, which take memory by address.
  @safe
  private final class Table {
    private let device: DMADevice
    private let address: UInt
    private let keep: UnsafeMutablePointer<StreamingBuffer>
    private var handles: [DMAAddress] = []

    init(_ device: DMADevice, _ page: consuming StreamingBuffer) {
      self.device = device
      unsafe keep = .allocate(capacity: 1)
      unsafe keep.initialize(to: page)
      // SAFETY: the buffer stays where it is until deinit.
      address = unsafe keep.pointee.bytes.withUnsafeBytes { bytes in
        UInt(bitPattern: bytes.baseAddress)
      }
    }

    deinit {
      unsafe keep.deinitialize(count: 1)
      unsafe keep.deallocate()
    }

    func map() -> DMAError? {
      do throws(DMAError) {
        handles.append(
          try device.mapSingle(
            cpuAddress: address, byteCount: 4096, direction: .toDevice, site: CallSite(#fileID, 0)))
        return nil
      } catch {
        return error
      }
    }

    func unmapOne() {
      guard let handle = handles.popLast() else { return }
      do throws(DMAError) {
        try device.unmapSingle(
          handle, byteCount: 4096, direction: .toDevice, site: CallSite(#fileID, 0))
      } catch {
        abandon("unmap: \(error)")
      }
    }
  }

  /// As an ordinary user, beyond the limit of locked memory.
  private static func memoryLock(_ address: PCIAddress, _ checks: Checks) {
    guard guest_drop_privileges(1000) == 0 else { abandon("setuid") }
    refused(
      address, checks, "memlock, arena",
      {
        $0.mode = .arena; $0.pageSize = .small; $0.addressLimit = .bits32
      }
    ) {
      if case .memoryLock(let have, let need) = $0 {
        have == 8 << 20 && need >= 64 << 20
      } else {
        false
      }
    }
    var configuration = VFIOMachine.Configuration()
    configuration.pageSize = .small
    let machine = GuestTests.open(address, configuration)
    do {
      let device = try PCIDevice(host: machine.pci, address: address, mapping: machine.mapping).dma
      let small = try StreamingBuffer(byteCount: 4 << 20, in: machine.platform)
        .map(ToDevice.self, for: device).get()
      checks.expect("memlock: 4 MiB are within the limit", machine.entryCount == 2)
      switch try StreamingBuffer(byteCount: 5 << 20, in: machine.platform)
        .map(ToDevice.self, for: device)
      {
      case .mapped: checks.expect("memlock: 5 more are not", false)
      case .failed(let buffer, let error):
        let limit = machine.explain(error)
        var isRight = false
        if case .memoryLock(let have, let need) = limit { isRight = have == 8 << 20 && need > have }
        checks.expectLimit("memlock, perCall", limit.description, isRight && error.isTransient)
        _ = small.unmap()
        let again = try buffer.map(ToDevice.self, for: device).get()
        checks.expect("memlock: after an unmap they are", machine.entryCount == 2)
        _ = again.unmap()
      }
    } catch {
      abandon("memlock: \(error)")
    }
  }
}
