internal import CSimulatedHost

/// Why a disk image cannot be used.
public enum NVMeImageError: Error, Equatable, Sendable {
  /// There is no such file.
  case missing
  /// Its permissions do not let this process read it, or write it.
  case denied
  /// It is a directory, a pipe, a terminal.
  case notAFile
  /// It holds less than one block, or not whole blocks.
  case partialBlock(byteCount: UInt64, blockByteCount: Int)
  /// Another process or machine writes it.
  case inUse
  /// The host failed, with its error number.
  case host(code: Int)
}

extension NVMeImageError: CustomStringConvertible {
  /// What went wrong.
  public var description: String {
    switch self {
    case .missing: "no such image file"
    case .denied: "the image file's permissions do not allow it"
    case .notAFile: "the image is not a file with contents"
    case .partialBlock(let byteCount, let blockByteCount):
      "the image has \(byteCount) bytes: a disk has whole blocks of \(blockByteCount), one at least"
    case .inUse: "the image is in use by another"
    case .host(let code): "the host refused the image (error \(code))"
    }
  }
}

/// A disk whose contents are a file or block device of the host.
///
/// The image is raw: its bytes are the disk's. A writable image is locked while the object lives.
/// An image that shrinks meanwhile gives read errors, one whose file system is full
/// `Outcome.full`.
@safe
public final class NVMeImage: NVMeStorage {
  private let image: Int32

  /// Opens an image.
  ///
  /// - Throws: `NVMeImageError`; a retry can help with `.inUse`.
  public init(
    path: String, isReadOnly: Bool = false, blockByteCount: Int = 512
  ) throws(NVMeImageError) {
    let opened = unsafe path.withCString { text in
      unsafe simulated_host_image_open(text, isReadOnly ? 0 : 1)
    }
    guard opened >= 0 else { throw Self.error(-opened) }
    let size = simulated_host_image_size(opened)
    guard size >= 0 else {
      simulated_host_image_close(opened)
      throw Self.error(Int32(truncatingIfNeeded: -size))
    }
    let byteCount = UInt64(size)
    guard byteCount > 0, byteCount % UInt64(blockByteCount) == 0 else {
      simulated_host_image_close(opened)
      throw .partialBlock(byteCount: byteCount, blockByteCount: blockByteCount)
    }
    image = opened
    super.init(byteCount: byteCount, isReadOnly: isReadOnly)
  }

  deinit { simulated_host_image_close(image) }

  /// Linux's error numbers.
  private static func error(_ code: Int32) -> NVMeImageError {
    switch code {
    case 2, 20: .missing
    case 1, 13, 30: .denied
    case 6, 19, 21: .notAFile
    case 16, 26: .inUse
    default: .host(code: Int(code))
    }
  }

  private static func outcome(_ status: Int32) -> Outcome {
    switch status {
    case 0: .done
    // EFBIG, ENOSPC and EDQUOT: nothing more fits.
    case -27, -28, -122: .full
    default: .failed(code: Int(-status))
    }
  }

  public override func read(
    at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) -> Outcome {
    guard let to = buffer.baseAddress else { return .done }
    let got = simulated_host_image_read(
      image, UInt(bitPattern: to), buffer.count, offset)
    if got < 0 { return .failed(code: Int(-got)) }
    return got == Int64(buffer.count) ? .done : .failed(code: 0)
  }

  public override func write(
    at offset: UInt64, from buffer: UnsafeRawBufferPointer
  ) -> Outcome {
    guard let from = buffer.baseAddress else { return .done }
    return Self.outcome(
      simulated_host_image_write(image, UInt(bitPattern: from), buffer.count, offset))
  }

  public override func writeZeroes(at offset: UInt64, byteCount: UInt64) -> Outcome {
    guard byteCount > 0 else { return .done }
    if simulated_host_image_zero(image, offset, byteCount) == 0 { return .done }
    // Not every file system can: then zeroes are written.
    return super.writeZeroes(at: offset, byteCount: byteCount)
  }

  public override func flush() -> Outcome { Self.outcome(simulated_host_image_flush(image)) }
}
