#if CLI
  internal import DMA
  internal import Drivers
  internal import PCI
  internal import QEMUMachine
  internal import SimulatedMachine

  /// A machine with an NVMe controller on it, and the controller's driver.
  struct NVMeBench {
    let nvme: NVMeDevice
    let namespace: NVMeNamespace
    let machine: MachineBench

    var mapping: MappingBench { machine.mapping }
    var platform: Platform { machine.platform }
    var queue: NVMeQueue { nvme.queues[0] }

    /// - Parameters:
    ///   - isReadOnly: whether the verb leaves the image as it is.
    ///
    ///   - disk: size of a disk in memory, for when there is no image.
    ///   - isNumbered: whether each word of 8 bytes of such a disk holds its number.
    init(
      _ options: NVMeOptions, isReadOnly: Bool, disk: ByteSize? = nil, isNumbered: Bool = false
    ) throws {
      let machine = try MachineBench(
        options.common, Self.plan(options, isReadOnly || options.readOnly, disk, isNumbered))
      var driver = NVMeDevice.Options()
      driver.mask = machine.mask
      driver.queueCapacity = options.depth
      driver.completion = options.common.interrupt ? .interrupt : .polling
      // A write to a doorbell may be a message to another process: fewer of them.
      if options.common.machine != .simulated { driver.doorbellBatch = max(1, options.depth / 2) }
      do throws(NVMeError) {
        nvme = try NVMeDevice(machine.device, options: driver)
        namespace = try nvme.namespace()
      } catch {
        throw Failure.failed(error.description)
      }
      self.machine = machine
    }

    private static func plan(
      _ options: NVMeOptions, _ isReadOnly: Bool, _ disk: ByteSize?, _ isNumbered: Bool
    ) -> DevicePlan {
      DevicePlan(
        name: "NVMe controller", vendorID: 0x1b36, deviceID: 0x0010, placement: .high,
        simulated: { mask in
          var controller = NVMeController.Configuration()
          controller.mask = mask.rawValue
          return NVMeController(
            try storage(options.image, isReadOnly, disk, isNumbered), controller)
        },
        qemu: { _ in
          let path = try required(options.image)
          // QEMU would say what is wrong with it too, but in words of its own and later.
          _ = try image(path, isReadOnly)
          return .nvme(image: path, isReadOnly: isReadOnly)
        })
    }

    private static func storage(
      _ path: String?, _ isReadOnly: Bool, _ disk: ByteSize?, _ isNumbered: Bool
    ) throws -> NVMeStorage {
      guard path == nil, let disk else { return try image(try required(path), isReadOnly) }
      do throws(SimulatedMachineError) {
        let storage = try NVMeMemory(zeroes: disk.byteCount)
        if isNumbered { number(storage) }
        return storage
      } catch {
        throw Failure.failed("a disk of \(disk): \(error.description)")
      }
    }

    /// Writes the number of each word into it.
    private static func number(_ storage: NVMeStorage) {
      let wordCount = 1 << 17
      var words = [UInt64](repeating: 0, count: wordCount)
      var done: UInt64 = 0
      while done < storage.byteCount {
        let byteCount = Int(min(storage.byteCount - done, UInt64(wordCount * 8)))
        for index in 0..<wordCount { words[index] = (done / 8 + UInt64(index)).littleEndian }
        // SAFETY: the array holds that many bytes and outlives the call.
        unsafe words.withUnsafeBytes { bytes in
          _ = unsafe storage.write(
            at: done, from: UnsafeRawBufferPointer(rebasing: bytes[..<byteCount]))
        }
        done += UInt64(byteCount)
      }
    }

    private static func required(_ path: String?) throws -> String {
      guard let path else {
        throw Failure.badInput("--image is missing: a file that holds the disk")
      }
      return path
    }

    private static func image(_ path: String, _ isReadOnly: Bool) throws -> NVMeImage {
      do throws(NVMeImageError) {
        return try NVMeImage(path: path, isReadOnly: isReadOnly)
      } catch {
        throw Failure.badInput("\(path): \(error.description)")
      }
    }
  }
#endif
