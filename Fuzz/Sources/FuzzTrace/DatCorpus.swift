/// A small binary trace in each version, built as trace-cmd builds one.
enum DatCorpus {
  static var version6: [UInt8] {
    var file = DatWriter()
    file.begin(version: "6")
    file.describe()
    file.number(2, 4)  // CPUs
    file.bytes("options  \0")
    file.number(0, 2)
    file.bytes("flyrecord\0")
    let pages = [page(0), page(1)]
    let table = file.count + 32
    let start = (table + DatWriter.pageSize - 1) / DatWriter.pageSize * DatWriter.pageSize
    for index in pages.indices {
      file.number(UInt64(start + DatWriter.pageSize * index), 8)
      file.number(UInt64(DatWriter.pageSize), 8)
    }
    file.pad(to: start)
    for page in pages { file.bytes(page) }
    return file.all
  }

  static var version7: [UInt8] {
    var file = DatWriter()
    file.begin(version: "7")
    file.bytes("none\0")
    file.bytes("\0")
    let optionsPlace = file.count
    file.number(0, 8)
    var places: [(option: UInt64, offset: Int)] = []
    var parts = DatWriter()
    for (option, write) in DatWriter.parts {
      parts = DatWriter()
      write(&parts)
      places.append((option, file.count))
      file.section(option, parts.all)
    }
    // The buffer's section: for each CPU where its pages lie.
    let pages = [page(0), page(1)]
    let pagesStart = (file.count / DatWriter.pageSize + 3) * DatWriter.pageSize
    let buffer = file.count
    file.section(3, [UInt8](repeating: 0, count: 8))
    var option = DatWriter()
    option.number(UInt64(buffer), 8)
    option.bytes("\0local\0")
    option.number(UInt64(DatWriter.pageSize), 4)
    option.number(UInt64(pages.count), 4)
    for index in pages.indices {
      option.number(UInt64(index), 4)
      option.number(UInt64(pagesStart + DatWriter.pageSize * index), 8)
      option.number(UInt64(DatWriter.pageSize), 8)
    }
    var options = DatWriter()
    for (number, offset) in places {
      options.number(number, 2)
      options.number(8, 4)
      options.number(UInt64(offset), 8)
    }
    options.number(3, 2)
    options.number(UInt64(option.count), 4)
    options.bytes(option.all)
    options.number(0, 2)
    options.number(8, 4)
    options.number(0, 8)
    let optionsStart = file.count
    file.section(0, options.all)
    file.pad(to: pagesStart)
    for page in pages { file.bytes(page) }
    var all = file.all
    for index in 0..<8 { all[optionsPlace + index] = UInt8(optionsStart >> (8 * index) & 0xff) }
    return all
  }

  /// A page of a CPU's ring buffer.
  private static func page(_ cpu: UInt64) -> [UInt8] {
    var events = DatWriter()
    events.event(DatWriter.map(physical: 0x3001000, bus: 0xffff_a000 - cpu << 16, size: 560))
    events.extend(1 << 30)
    events.event(DatWriter.list(map: true, cpu))
    events.event(DatWriter.list(map: false, cpu))
    events.event(DatWriter.unmap(bus: 0xffff_a000 - cpu << 16, size: 560))
    var page = DatWriter()
    page.number(1_000_000_000 + cpu * 500, 8)
    page.number(UInt64(events.count) | (cpu == 1 ? 1 << 31 | 1 << 30 : 0), 8)
    page.bytes(events.all)
    page.number(17, 8)  // how many were lost, where the flags say so
    page.pad(to: DatWriter.pageSize)
    return page.all
  }
}
