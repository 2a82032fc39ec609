internal import CVFIO
internal import DMA
internal import MachineHost
internal import Glibc
internal import PCI

extension VFIOHost {
  private func function(_ address: UInt32) -> VFIOFunction? {
    functions.first { $0.address.packed == address }
  }

  func readConfiguration(_ address: UInt32, _ offset: Int, _ byteCount: Int) -> UInt32 {
    function(address)?.readConfiguration(offset, byteCount) ?? .max
  }

  func writeConfiguration(_ address: UInt32, _ offset: Int, _ byteCount: Int, _ value: UInt32) {
    pace.restart()
    function(address)?.writeConfiguration(offset, byteCount, value)
  }

  /// The kernel programs messages itself: see `attachInterrupt`.
  func allocateMessage(
    _ address: UInt32, _ index: Int, _ numbers: inout DMAStatusNumbers
  ) -> DMAStatus {
    numbers = DMAStatusNumbers(UInt64(ENOTSUP))
    return .machine
  }

  func freeMessage(_ handle: UInt64) { interrupts.free(handle) }

  func takeInterrupt(_ handle: UInt64) -> Bool { interrupts.take(handle) }

  // MARK: Registers that cannot be mapped: function in the window's upper bits, place below

  func readRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int) -> UInt64 {
    let (function, place) = split(window)
    return function?.readRegister(place &+ UInt64(offset), byteCount) ?? .max
  }

  func writeRegister(_ window: UInt64, _ offset: Int, _ byteCount: Int, _ value: UInt64) {
    let (function, place) = split(window)
    function?.writeRegister(place &+ UInt64(offset), byteCount, value)
  }

  /// VFIO's offsets of regions have 40 + 4 bits.
  private func split(_ window: UInt64) -> (VFIOFunction?, UInt64) {
    let index = Int(window >> 56)
    return (index < functions.count ? functions[index] : nil, window & (1 << 56 - 1))
  }

  func mapBAR(
    _ address: UInt32, _ index: Int, start: UInt64, _ byteCount: Int,
    _ numbers: inout DMAStatusNumbers
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

  func attachInterrupt(
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
