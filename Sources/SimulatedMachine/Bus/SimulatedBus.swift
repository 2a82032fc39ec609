internal import CSimulatedHost
internal import PCI
internal import MachineMemory

/// How a device's access to the bus ended.
public enum BusOutcome: Equatable, Sendable {
  /// All bytes moved, or the message was delivered.
  case done
  /// Some did not: those read as all ones, or were lost.
  case refused
}

/// The one way from devices to memory.
///
/// Whoever masters the bus passes here: its bus-master bit, then interrupt messages, then the
/// IOMMU, then memory. Registers of other devices are not memory: the bus takes no peer-to-peer
/// traffic, as most root ports do not.
@safe
final class SimulatedBus {
  let memory: PhysicalMemory
  let interrupts: InterruptController
  let incidents: IncidentLog
  let iommu: VTDUnit?
  let faults: FaultPlan?
  /// Set before devices run.
  var accessObserver: (@Sendable (BusAccess) -> Void)?
  /// Set before devices run.
  var incidentObserver: (@Sendable (BusIncident) -> Void)?

  init(
    memory: PhysicalMemory, interrupts: InterruptController, incidents: IncidentLog,
    iommu: VTDUnit?, faults: FaultPlan?
  ) {
    self.faults = faults
    self.memory = memory
    self.iommu = iommu
    self.interrupts = interrupts
    self.incidents = incidents
  }

  /// What an access is, wherever it goes.
  struct Access {
    var requester: PCIAddress
    var isBusMaster: Bool
    var address: UInt64
    /// Where the device has the bytes.
    var buffer: UInt
    var byteCount: Int
    /// Whether memory is written.
    var isWrite: Bool
  }

  func perform(_ access: Access) -> BusOutcome {
    guard access.byteCount > 0 else { return .done }
    guard access.isBusMaster else { return refuse(access, .busMasterOff) }
    let last = access.address.addingReportingOverflow(UInt64(access.byteCount - 1))
    guard !last.overflow else { return refuse(access, .noMemory) }
    let window = InterruptController.window
    if window.contains(access.address) || window.contains(last.partialValue) {
      // A message is one aligned word, written; nothing there can be read.
      guard access.isWrite, access.byteCount == 4, access.address % 4 == 0 else {
        return refuse(access, .noMemory)
      }
      var data: UInt32 = 0
      // SAFETY: the device's buffer has four bytes.
      unsafe withUnsafeMutablePointer(to: &data) {
        simulated_host_copy(UInt(bitPattern: $0), access.buffer, 4)
      }
      interrupts.receive(address: access.address, data: data)
      return .done
    }
    accessObserver?(
      BusAccess(
        requester: access.requester, address: access.address, byteCount: access.byteCount,
        isWrite: access.isWrite))
    if let faults, faults.fails(.deviceAccess) { return refuse(access, .injectedFault) }
    guard let iommu else { return reachMemory(access) }
    return translate(access, iommu)
  }

  /// Moves the bytes of an access page by page, each where the IOMMU says.
  private func translate(_ access: Access, _ iommu: VTDUnit) -> BusOutcome {
    let requester = UInt16(truncatingIfNeeded: access.requester.packed)
    var outcome = BusOutcome.done
    var done = 0
    while done < access.byteCount {
      var part = access
      part.address += UInt64(done)
      part.buffer += UInt(done)
      part.byteCount = min(access.byteCount - done, 4096 - Int(part.address & 4095))
      switch iommu.translate(requester, part.address, isWrite: access.isWrite) {
      case nil: return reachMemory(access)
      case .fault(let fault):
        outcome = refuse(part, .translationFault(reason: fault.rawValue))
      case .physical(let address, let byteCount, let isStale):
        if isStale { note(part, .staleTranslation) }
        part.byteCount = min(access.byteCount - done, byteCount)
        part.address = address
        if reachMemory(part) != .done { outcome = .refused }
      }
      done += part.byteCount
    }
    return outcome
  }

  /// Moves the bytes of an access whose address is physical.
  private func reachMemory(_ access: Access) -> BusOutcome {
    guard memory.map.contains(access.address, UInt64(access.byteCount)) else {
      return refuse(access, .noMemory)
    }
    let ram = memory.deviceAddress(access.address)
    if access.isWrite {
      memory.markTouched(access.address, access.byteCount)
      simulated_host_device_write(ram, access.buffer, access.byteCount)
    } else {
      simulated_host_device_read(access.buffer, ram, access.byteCount)
    }
    return .done
  }

  private func refuse(_ access: Access, _ reason: BusIncident.Reason) -> BusOutcome {
    if !access.isWrite { simulated_host_fill(access.buffer, 0xff, access.byteCount) }
    note(access, reason)
    return .refused
  }

  private func note(_ access: Access, _ reason: BusIncident.Reason) {
    let incident = BusIncident(
      requester: access.requester, address: access.address, byteCount: access.byteCount,
      isWrite: access.isWrite, reason: reason)
    incidents.append(incident)
    incidentObserver?(incident)
  }
}
