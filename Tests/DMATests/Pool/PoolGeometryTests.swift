import DMA
import TestSupport
import Testing

@Suite struct PoolGeometryTests {
  @Test func `every block is aligned, inside of its page and off the boundaries`()
    throws
  {
    var random = SeededGenerator()
    for _ in 0..<3000 {
      let size = Int.random(in: 1...9000, using: &random)
      let align = 1 << Int.random(in: 0...13, using: &random)
      var boundary = 1 << Int.random(in: 0...16, using: &random)
      if boundary < (size + align - 1) & ~(align - 1) { boundary = 0 }
      let geometry = try PoolGeometry(byteCount: size, alignment: align, boundary: boundary)
      var end = 0
      for index in 0..<geometry.blocksPerPage {
        let offset = geometry.offset(of: index)
        #expect(offset >= end, "blocks overlap")
        #expect(offset % align == 0)
        if boundary != 0 { #expect(offset / boundary == (offset + size - 1) / boundary) }
        #expect(geometry.index(at: offset) == index)
        if geometry.blockByteCount > 1 { #expect(geometry.index(at: offset + 1) == nil) }
        end = offset + geometry.blockByteCount
      }
      #expect(end <= geometry.pageByteCount, "the last block runs past its page")
      // No further block would fit behind the last.
      #expect(
        geometry.index(at: geometry.offset(of: geometry.blocksPerPage)) == nil,
        "a place behind the last block is not a block")
    }
  }
}
