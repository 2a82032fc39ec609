internal import CPCIDMA

/// Reads a caller's options: `struct_size` first, then as much as both sides know.
///
/// No options are all zeroes. What the caller's structure has beyond ours must be zero.
///
/// - Returns: 0, or a negative errno.
func readOptions<Options: BitwiseCopyable>(
  _ source: UnsafeRawPointer?, _ options: inout Options
) -> Int32 {
  guard let source = unsafe source else { return 0 }
  guard UInt(bitPattern: source) % UInt(MemoryLayout<Int>.alignment) == 0 else {
    return fail(Errno.invalid)
  }
  // SAFETY: the caller's structure has as many bytes as it says; the size comes first in each.
  let size = unsafe source.load(as: Int.self)
  let known = MemoryLayout<Options>.size
  guard size >= MemoryLayout<Int>.size, size <= 4096 else { return fail(Errno.invalid) }
  if size > known {
    for offset in known..<size where unsafe source.load(fromByteOffset: offset, as: UInt8.self) != 0
    {
      return fail(Errno.tooBig)
    }
  }
  unsafe withUnsafeMutableBytes(of: &options) { bytes in
    unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(start: source, count: min(size, known)))
  }
  return 0
}
