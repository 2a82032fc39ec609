/// Texts to begin with, one for each form.
enum TextCorpus {
  static let tracefs = [
    """
    # entries-in-buffer/entries-written: 12/12   #P:2
                init-1       [000] .....     7.967898: tracing_mark_write: module load
              insmod-156     [000] .....     8.006335: dma_alloc: 0000:00:01.0 dir=BIDIRECTIONAL dma_addr=ffffc000 size=16384 virt_addr=00000000a21fa1be flags=GFP_KERNEL attrs=
              insmod-156     [000] .....     8.007199: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffffa140 size=560 phys_addr=3001140 attrs=SKIP_CPU_SYNC|NO_WARN
              insmod-156     [001] .....     8.007199: dma_sync_single_for_cpu: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffffa140 size=128
              insmod-156     [000] .....     8.008196: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffffa140 size=560 attrs=
              insmod-156     [000] .....     8.211975: dma_map_sg: 0000:00:01.0 dir=BIDIRECTIONAL nents=2/2 ents=1/1 dma_addrs={0xffff4000} sizes={0x2000} phys_addrs={0x3008000,0x3009000} attrs=
              insmod-156     [000] .....     8.212224: dma_unmap_sg: 0000:00:01.0 dir=BIDIRECTIONAL phys_addrs={0x3008000,0x3009000} attrs=
    CPU:1 [LOST 25070 EVENTS]
                init-1       [001] .....     9.600688: tracing_mark_write: module unload
    """,
    """
              insmod-156     [000] d..1.     8.007199: dma_map_phys: 0000:00:01.0 dir=FROM_DEVICE dma_addr=ffffa140 size=560 phys_addr=3001140 attrs=MMIO
              insmod-156     [001] d.s1.     8.007199: dma_unmap_phys: 0000:00:01.0 dir=FROM_DEVICE dma_addr=ffffa140 size=560 attrs=
              insmod-156     [000] d.h1.     8.007200: swiotlb_bounced: dev_name: 0000:00:01.0 dma_mask=ffffffff dev_addr=123456000 size=560 NORMAL
              insmod-156     [000] d.h1.     8.007201: map: IOMMU: iova=0x00000000ffffa000 - 0x00000000ffffb000 paddr=0x0000000003001000 size=4096
              insmod-156     [000] d.h1.     8.007202: dma_alloc_sgt: 0000:00:01.0 dir=TO_DEVICE dma_addr=fff00000 size=8192 phys_addrs={0x1000,0x2000} flags=GFP_KERNEL attrs=
              insmod-156     [000] d.h1.     8.007203: <stack trace>
     => trace_event_raw_event_dma_map
     => dma_map_page_attrs
    """,
  ]

  static let latency = """
    # latency: 0 us, #1184/1184, CPU#0 | (M:desktop VP:0, KP:0, SP:0 HP:0 #P:2)
        ping-196       1b..1. 29051us#: dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffe72842 size=60 phys_addr=1fe8842 attrs=
      <idle>-0         0..s1. 29151us+: dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffe72842 size=60 attrs=
    dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffbb13c2 size=60 attrs=
    """

  static let fields = """
                ping-218     [000] b..1.    30.289287: dma_map_page: device=0000:00:01.0 phys_addr=0x198eec2 (26799810) dma_addr=0xffcacec2 (4291481282) size=0x3c (60) dir=0x1 (1) attrs=0x0 (0)
                ping-218     [000] b..1. 302892871234: dma_unmap_page: device=0000:00:01.0 dma_addr=0xffcacec2 (4291481282) size=0x3c (60) dir=0x1 (1) attrs=0x0 (0)
    """

  static let traceCmd = """
    cpus=2
                  dd-187   [001]    25.521003: dma_map_sg:           [FAILED TO PARSE] device=0000:00:1f.2 full_nents=1 full_ents=1 truncated=0 phys_addrs=ARRAY[00, f0, c7, 04, 00, 00, 00, 00] dma_addrs=ARRAY[00, 00, f2, ff, 00, 00, 00, 00] lengths=ARRAY[00, 00, 01, 00] dir=2 attrs=0x0
                  dd-187   [001]    25.524693: dma_unmap_sg:         [FAILED TO PARSE] device=0000:00:1f.2 addrs=ARRAY[00, f0, c7, 04, 00, 00, 00, 00] dir=2 attrs=0x0
                  dd-187   [001]    25.524700: dma_map_page:         0000:00:1f.2 dir=TO_DEVICE dma_addr=1000 size=60 phys_addr=1000 attrs=
                  dd-187   [001]    25.524701: dma_unmap_page:       0000:00:1f.2 dir=TO_DEVICE dma_addr=1000 size=60 attrs=
    CPU:1 [512 EVENTS DROPPED]
    """

  static let perf = """
                ping   180 [001]    47.857049:               dma:dma_map_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffc999c2 size=60 phys_addr=1d039c2 attrs=
    \tffffffff81234567 dma_map_page_attrs+0x12 ([kernel.kallsyms])
    \tffffffff81234999 start_xmit+0x92 ([kernel.kallsyms])

                ping   180 [001]    47.857149:             dma:dma_unmap_page: 0000:00:01.0 dir=TO_DEVICE dma_addr=ffc999c2 size=60 attrs=
    \tffffffff81234567 dma_unmap_page_attrs+0x12 ([kernel.kallsyms])

    """

  static let log = """
    [   28.037972] DMAR: [DMA Write NO_PASID] Request device [00:01.0] fault addr 0xffff0000 [fault reason 0x05] PTE Write access is not set
    [    5.100000] AMD-Vi: Event logged [IO_PAGE_FAULT device=01:00.0 domain=0x000e address=0x00000000fffc1000 flags=0x0020]
    [    6.200000] nvme 0000:02:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0011 address=0xfee00000 flags=0x0050]
    arm-smmu 5000000.iommu: Unhandled context fault: fsr=0x402, iova=0x7fff5000, fsynr=0x11, cbfrsynra=0x404, cb=3
    arm-smmu-v3 9050000.smmuv3: event: F_TRANSLATION client: 0000:00:02.0 sid: 0x10 ssid: 0x0 iova: 0xffffe000 ipa: 0x0
    """

  static let limits = """
    36200000-371fffff : Kernel code
      37200000-37ffffff : Kernel rodata
    0000:00:01.0 dma_mask_bits=64 max_segment_size=65536 segment_boundary_mask=0xffffffff
    0000:00:02.0 driver=e1000 dma_mask_bits=32 consistent_dma_mask_bits=32 dma_mask=0xffffff
    """
}
