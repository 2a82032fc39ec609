#if CLI
  import ArgumentParser
  internal import DMA
  internal import Drivers
  internal import Glibc

  /// A file onto a disk image through each mapping, and what each of them took.
  struct DiskComparison {
    /// What one mapping came to.
    struct Row {
      var name: String
      var maps = 0
      var byteCount: UInt64 = 0
      var bouncedByteCount: UInt64 = 0
      /// Translation entries, at most at once; commands to the IOMMU.
      var entryCount = 0
      var commandCount = 0
      /// Blocks of the driver's pool, at most at once.
      var poolBlockCount = 0
      var machineNanoseconds: UInt64 = 0
      var hostNanoseconds: UInt64 = 0
      /// Whether the image holds the file, as the host reads both.
      var isIdentical = false
    }

    /// The mappings to compare: name, options.
    private static let ways: [(String, [String])] = [
      ("direct", ["--mapping", "direct", "--mask", "64"]),
      ("bounce", ["--mapping", "bounce", "--mask", "32"]),
      ("IOMMU, strict", ["--mapping", "iommu", "--mask", "32"]),
      ("IOMMU, deferred", ["--mapping", "iommu", "--iommu", "deferred", "--mask", "32"]),
    ]

    /// Copies the file's first bytes through each mapping onto an image of its own.
    ///
    /// - Parameter isChecked: whether each driver is watched; a broken rule is a failure.
    static func run(
      _ path: String, limit: Int, seed: UInt64, isChecked: Bool
    ) throws -> [Row] {
      let file: OpenFile
      do throws(FileError) { file = try OpenFile(reading: path, limit: limit) } catch {
        throw Failure.badInput(error.description)
      }
      // Once without looking at the clock: the first to touch memory and files pays for all.
      _ = try ways.map { try copy(file, $0.0, $0.1, seed) }
      let check = isChecked ? ["--check"] : []
      return try ways.map { try copy(file, $0.0, $0.1 + check, seed) }
    }

    private static func copy(
      _ file: OpenFile, _ name: String, _ arguments: [String], _ seed: UInt64
    ) throws -> Row {
      let (row, checking) = try drive(file, name, arguments, seed)
      guard checking.finish() else {
        throw Failure.failed("the driver broke a rule, see above")
      }
      return row
    }

    /// Copies once; the driver has ended when it returns.
    private static func drive(
      _ file: OpenFile, _ name: String, _ arguments: [String], _ seed: UInt64
    ) throws -> (Row, Checking) {
      let image: TemporaryFile
      do throws(FileError) {
        image = try TemporaryFile(byteCount: (file.byteCount + 4095) / 4096 * 4096)
      } catch {
        throw Failure.failed(error.description)
      }
      let bench = try NVMeBench(
        NVMeOptions.parse(
          arguments + ["--image", image.path, "--seed", "\(seed)", "--depth", "8"]),
        isReadOnly: false)
      let counter = EventCounter()
      bench.machine.checking.add(counter.observer)
      let pump = NVMePump(
        queue: bench.queue, namespace: bench.namespace, platform: bench.platform,
        placement: bench.machine.placement, pieceByteCount: 64 << 10)
      var row = Row(name: name)
      let begun = (HostClock.nanoseconds, bench.platform.nanoseconds)
      do throws(NVMePump.Stop) {
        _ = try pump.write(file) { _ in
          row.entryCount = max(row.entryCount, bench.mapping.liveEntryCount)
        }
      } catch {
        throw Failure.stopped(error)
      }
      row.hostNanoseconds = HostClock.nanoseconds - begun.0
      row.machineNanoseconds = bench.platform.nanoseconds - begun.1
      let counts = counter.counts
      row.maps = counts.maps
      row.commandCount = bench.mapping.invalidationCount
      row.byteCount = counts.bytesToDevice + counts.bytesFromDevice
      row.poolBlockCount = counts.poolBlockMax
      row.bouncedByteCount = bench.mapping.bouncedByteCount
      do throws(FileError) {
        row.isIdentical = try image.begins(with: file)
      } catch {
        throw Failure.failed(error.description)
      }
      return (row, bench.machine.checking)
    }

    /// The rows side by side.
    static func table(_ rows: [Row]) -> String {
      var table = TextTable(
        [
          "mapping", "maps", "bytes", "bounced", "entries", "commands", "pool blocks",
          "machine's time",
        ],
        rightAligned: [1, 2, 3, 4, 5, 6, 7])
      for row in rows {
        table.add([
          row.name, "\(row.maps)", "\(row.byteCount)", "\(row.bouncedByteCount)",
          "\(row.entryCount)", "\(row.commandCount)", "\(row.poolBlockCount)",
          "\(row.machineNanoseconds / 1000) us",
        ])
      }
      return table.text
    }
  }

  /// A file that goes with the object.
  private final class TemporaryFile {
    let path: String

    /// A file of zeroes that take no room.
    init(byteCount: Int) throws(FileError) {
      let folder = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
      var template = Array("\(folder)/dmatool-disk-XXXXXX".utf8CString)
      let descriptor = unsafe mkstemp(&template)
      path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      guard descriptor >= 0 else {
        throw .cannotOpen(path: path, reason: FileBytes.lastError())
      }
      let status = ftruncate(descriptor, byteCount)
      let reason = FileBytes.lastError()
      close(descriptor)
      guard status == 0 else {
        unsafe unlink(path)
        throw .cannotWrite(path: path, reason: reason)
      }
    }

    deinit { unsafe unlink(path) }

    /// Whether it holds all of a file's bytes from its start on.
    func begins(with file: OpenFile) throws(FileError) -> Bool {
      let image = try OpenFile(reading: path)
      return try file.bytes() == image.bytes(file.byteCount)
    }
  }
#endif
