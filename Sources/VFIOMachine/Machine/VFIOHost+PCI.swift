internal import CVFIO
internal import DMA
internal import Glibc
internal import PCI

extension VFIOHost {
  /// The machine's PCI; it owns this object.
  func makePCI(_ platform: Platform) -> PCIHost {
    unsafe PCIHost(platform: platform, operations: Self.pciTable, context: context, owner: self)
  }

  private func function(_ address: UInt32) -> VFIOFunction? {
    functions.first { $0.address.packed == address }
  }

  private static var pciTable: PCIOperations {
    unsafe PCIOperations(
      readConfiguration: { context, address, offset, byteCount in
        unsafe VFIOHost.of(context).function(address)?.readConfiguration(offset, byteCount) ?? .max
      },
      writeConfiguration: { context, address, offset, byteCount, value in
        let host = unsafe VFIOHost.of(context)
        host.pace.restart()
        host.function(address)?.writeConfiguration(offset, byteCount, value)
      },
      mapBAR: { context, address, index, _, byteCount, numbers in
        let host = unsafe VFIOHost.of(context)
        var found = DMAStatusNumbers()
        let status = host.mapBAR(address, index, byteCount, &found)
        unsafe store(found, numbers)
        return status.rawValue
      },
      // The kernel programs messages itself: see attachInterrupt.
      allocateMessage: { _, _, _, numbers in
        unsafe store(DMAStatusNumbers(UInt64(ENOTSUP)), numbers)
        return DMAStatus.machine.rawValue
      },
      freeMessage: { context, handle in unsafe VFIOHost.of(context).interrupts.free(handle) },
      takeInterrupt: { context, handle in
        unsafe VFIOHost.of(context).interrupts.take(handle) ? 1 : 0
      },
      registers: registerTable,
      attachInterrupt: { context, address, kind, index, numbers in
        let host = unsafe VFIOHost.of(context)
        var found = DMAStatusNumbers()
        let status = host.attach(address, kind, index, &found)
        unsafe store(found, numbers)
        return status.rawValue
      })
  }

  /// Registers that cannot be mapped: function in the window's upper bits, place below.
  private static var registerTable: RegisterOperations {
    unsafe RegisterOperations(
      read: { context, window, offset, byteCount in
        let host = unsafe VFIOHost.of(context)
        let (function, place) = host.split(window)
        return function?.readRegister(place &+ UInt64(offset), byteCount) ?? .max
      },
      write: { context, window, offset, byteCount, value in
        let host = unsafe VFIOHost.of(context)
        let (function, place) = host.split(window)
        function?.writeRegister(place &+ UInt64(offset), byteCount, value)
      })
  }

  /// VFIO's offsets of regions have 40 + 4 bits.
  private func split(_ window: UInt64) -> (VFIOFunction?, UInt64) {
    let index = Int(window >> 56)
    return (index < functions.count ? functions[index] : nil, window & (1 << 56 - 1))
  }

  private func mapBAR(
    _ address: UInt32, _ index: Int, _ byteCount: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard let position = functions.firstIndex(where: { $0.address.packed == address }) else {
      return .deviceRemoved
    }
    do throws(DMAError) {
      switch try functions[position].mapBAR(index, byteCount) {
      case .memory(let place): numbers = DMAStatusNumbers(UInt64(place))
      case .file(let place): numbers = DMAStatusNumbers(0, UInt64(position) << 56 | place)
      }
      return .success
    } catch {
      return Self.status(error, &numbers)
    }
  }

  private func attach(
    _ address: UInt32, _ kind: UInt32, _ index: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    guard let function = function(address) else { return .deviceRemoved }
    do throws(DMAError) {
      numbers = DMAStatusNumbers(try interrupts.attach(function, kind, index))
      return .success
    } catch {
      return Self.status(error, &numbers)
    }
  }

  private static func status(_ error: DMAError, _ numbers: inout DMAStatusNumbers) -> DMAStatus {
    guard case .machine(let code) = error else { return .deviceRemoved }
    numbers = DMAStatusNumbers(UInt64(code))
    return .machine
  }
}
