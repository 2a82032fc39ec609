/*
 * kernel_services.h - a user-space stand-in for the kernel services that mm/dmapool.c,
 * drivers/iommu/iova.c and lib/rbtree.c use.  Written for this harness from
 * the documented meaning of each service; it holds no kernel code.
 *
 * The spin lock is test-and-test-and-set: one locked compare-exchange to take it, one plain
 * store to release it, like the kernel's uncontended case without saving the interrupt flag.
 * One "CPU" per thread; the slab is a thread-local list. All of that favours Linux.
 */
#ifndef SWIFT_DMA_KERNEL_H
#define SWIFT_DMA_KERNEL_H
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
typedef uint64_t dma_addr_t;
typedef unsigned int gfp_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define GFP_KERNEL 1u
#define GFP_ATOMIC 2u
#define __GFP_ZERO 4u
#define __GFP_NOWARN 8u
#define ENOTSUPP 524
#define CONFIG_HAS_DMA 1
#define IS_REACHABLE(x) 1
#define EXPORT_SYMBOL(x)
#define EXPORT_SYMBOL_GPL(x)
#define MODULE_AUTHOR(x)
#define MODULE_DESCRIPTION(x)
#define MODULE_LICENSE(x)
#define __percpu
#define __rcu
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#define rcu_dereference_raw(p) READ_ONCE(p)
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define BUG_ON(c) do { if (c) abort(); } while (0)
#define WARN_ON(c) ({ int w_ = !!(c); if (w_) fprintf(stderr, "WARN %s:%d\n", __FILE__, __LINE__); w_; })
#define min(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define max_t(t, a, b) ({ t a_ = (a); t b_ = (b); a_ > b_ ? a_ : b_; })
#define swap(a, b) do { __typeof__(a) t_ = (a); (a) = (b); (b) = t_; } while (0)
#define ALIGN(x, a) (((x) + (a) - 1) & ~((__typeof__(x))(a) - 1))
#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a) - 1))
#define static_assert _Static_assert
#define might_alloc(f) ((void)(f))
#define is_power_of_2(n) ((n) != 0 && (((n) & ((n) - 1)) == 0))
#define pr_err(...) fprintf(stderr, __VA_ARGS__)
#define ERR_PTR(e) ((void *)(intptr_t)(e))
#define dev_err(dev, ...) fprintf(stderr, __VA_ARGS__)

static inline unsigned long __ffs(unsigned long x) { return __builtin_ctzl(x); }
static inline unsigned fls_long(unsigned long x) { return x ? 64 - __builtin_clzl(x) : 0; }
static inline unsigned order_base_2(unsigned long x) { return x > 1 ? 64 - __builtin_clzl(x - 1) : 0; }
static inline unsigned long roundup_pow_of_two(unsigned long x) { return 1UL << order_base_2(x); }

/* ---- locks ---- */
typedef struct { int v; } spinlock_t;
static inline void kernel_lock(spinlock_t *l)
{
	for (;;) {
		int z = 0;
		if (likely(__atomic_compare_exchange_n(&l->v, &z, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
			return;
		while (__atomic_load_n(&l->v, __ATOMIC_RELAXED)) __builtin_ia32_pause();
	}
}
static inline void kernel_unlock(spinlock_t *l) { __atomic_store_n(&l->v, 0, __ATOMIC_RELEASE); }
#define spin_lock_init(l) ((l)->v = 0)
#define spin_lock(l) kernel_lock(l)
#define spin_unlock(l) kernel_unlock(l)
#define spin_lock_irqsave(l, f) do { (f) = 0; kernel_lock(l); } while (0)
#define spin_unlock_irqrestore(l, f) do { (void)(f); kernel_unlock(l); } while (0)
#define assert_spin_locked(l) ((void)0)
struct mutex { pthread_mutex_t m; };
#define DEFINE_MUTEX(n) struct mutex n = { PTHREAD_MUTEX_INITIALIZER }
static inline void mutex_lock(struct mutex *m) { pthread_mutex_lock(&m->m); }
static inline void mutex_unlock(struct mutex *m) { pthread_mutex_unlock(&m->m); }

/* ---- lists ---- */
struct list_head { struct list_head *next, *prev; };
struct hlist_node { struct hlist_node *next, **pprev; };
static inline void INIT_LIST_HEAD(struct list_head *h) { h->next = h->prev = h; }
static inline int list_empty(const struct list_head *h) { return h->next == h; }
static inline void list_add(struct list_head *n, struct list_head *h)
{ n->next = h->next; n->prev = h; h->next->prev = n; h->next = n; }
static inline void list_del(struct list_head *e) { e->prev->next = e->next; e->next->prev = e->prev; }
#define list_for_each_entry(p, h, m) \
	for (p = container_of((h)->next, __typeof__(*p), m); &p->m != (h); \
	     p = container_of(p->m.next, __typeof__(*p), m))
#define list_for_each_entry_safe(p, t, h, m) \
	for (p = container_of((h)->next, __typeof__(*p), m), t = container_of(p->m.next, __typeof__(*p), m); \
	     &p->m != (h); p = t, t = container_of(t->m.next, __typeof__(*p), m))
#define hlist_entry_safe(ptr, type, member) ((ptr) ? container_of(ptr, type, member) : NULL)

/* ---- devices, sysfs, devres: only what links ---- */
struct device { struct list_head dma_pools; };
struct device_attribute { ssize_t (*show)(struct device *, struct device_attribute *, char *); };
#define DEVICE_ATTR_RO(n) struct device_attribute dev_attr_##n = { n##_show }
static inline int device_create_file(struct device *d, struct device_attribute *a) { (void)d; (void)a; return 0; }
static inline void device_remove_file(struct device *d, struct device_attribute *a) { (void)d; (void)a; }
static inline int sysfs_emit(char *b, const char *f, ...) { va_list a; va_start(a, f); int r = vsnprintf(b, PAGE_SIZE, f, a); va_end(a); return r; }
static inline int sysfs_emit_at(char *b, int at, const char *f, ...) { va_list a; va_start(a, f); int r = vsnprintf(b + at, PAGE_SIZE - at, f, a); va_end(a); return r; }
typedef void (*dr_release_t)(struct device *, void *);
typedef int (*dr_match_t)(struct device *, void *, void *);
static inline void *devres_alloc(dr_release_t r, size_t n, gfp_t g) { (void)r; (void)g; return calloc(1, n); }
static inline void devres_add(struct device *d, void *p) { (void)d; (void)p; }
static inline void devres_free(void *p) { free(p); }
static inline int devres_release(struct device *d, dr_release_t r, dr_match_t m, void *p) { (void)d; (void)r; (void)m; (void)p; return 0; }
static inline size_t strscpy(char *d, const char *s, size_t n) { snprintf(d, n, "%s", s); return strlen(d); }
static inline bool want_init_on_alloc(gfp_t f) { return f & __GFP_ZERO; }
static inline bool want_init_on_free(void) { return false; }

/* ---- memory ---- */
static inline void *kmalloc(size_t n, gfp_t g) { (void)g; return malloc(n); }
static inline void *kzalloc(size_t n, gfp_t g) { (void)g; return calloc(1, n); }
static inline void *kcalloc(size_t c, size_t n, gfp_t g) { (void)g; return calloc(c, n); }
static inline void kfree(const void *p) { free((void *)p); }
/* coherent memory: page-aligned anonymous memory, device address = CPU address */
static inline void *dma_alloc_coherent(struct device *d, size_t n, dma_addr_t *h, gfp_t g)
{
	(void)d; (void)g;
	void *p = aligned_alloc(PAGE_SIZE, ALIGN(n, PAGE_SIZE));
	if (p) { memset(p, 0, n); *h = (dma_addr_t)(uintptr_t)p; }
	return p;
}
static inline void dma_free_coherent(struct device *d, size_t n, void *p, dma_addr_t h) { (void)d; (void)n; (void)h; free(p); }

/* ---- object caches: thread-local free list in front of aligned malloc, to stand
 *      for the slab's per-CPU fast path ---- */
struct kmem_cache { size_t size; size_t align; int slot; };
extern __thread void *kernel_cache_free[8];
extern int kernel_cache_slots;
#define SLAB_HWCACHE_ALIGN 1
static inline struct kmem_cache *kmem_cache_create(const char *n, size_t s, size_t al, int fl, void *ctor)
{
	(void)n; (void)al; (void)ctor;
	struct kmem_cache *c = calloc(1, sizeof *c);
	/* hw-cache alignment: 64, or the object rounded up to 32 when it is small */
	c->size = s <= 32 ? 32 : ALIGN(s, 64UL);
	c->align = fl ? (c->size < 64 ? 32 : 64) : 16;
	c->slot = kernel_cache_slots++;
	return c;
}
static inline void kmem_cache_destroy(struct kmem_cache *c) { free(c); }
static inline void *kmem_cache_alloc(struct kmem_cache *c, gfp_t g)
{
	(void)g;
	void *p = kernel_cache_free[c->slot];
	if (likely(p)) { kernel_cache_free[c->slot] = *(void **)p; return p; }
	size_t chunk = 64 * 1024 / c->size;
	char *b = aligned_alloc(64, ALIGN(chunk * c->size, 64UL));
	if (!b) return NULL;
	for (size_t i = 1; i < chunk; i++) { *(void **)(b + i * c->size) = kernel_cache_free[c->slot]; kernel_cache_free[c->slot] = b + i * c->size; }
	return b;
}
static inline void *kmem_cache_zalloc(struct kmem_cache *c, gfp_t g)
{
	void *p = kmem_cache_alloc(c, g);
	if (p) memset(p, 0, c->size);
	return p;
}
static inline void kmem_cache_free(struct kmem_cache *c, void *p)
{
	if (!p) return;
	*(void **)p = kernel_cache_free[c->slot]; kernel_cache_free[c->slot] = p;
}

/* ---- per-CPU: one "CPU" per thread ---- */
#define KERNEL_CPUS 4
extern __thread unsigned kernel_cpu;
static inline void *kernel_alloc_percpu(size_t n, size_t al)
{ size_t st = ALIGN(n, al); char *p = aligned_alloc(al, st * KERNEL_CPUS); memset(p, 0, st * KERNEL_CPUS); return p; }
#define cache_line_size() 64
#define __alloc_percpu(n, al) kernel_alloc_percpu(n, al)
#define free_percpu(p) free(p)
#define per_cpu_ptr(p, c) ((__typeof__(p))((char *)(p) + ALIGN(sizeof(*(p)), 64UL) * (c)))
#define raw_cpu_ptr(p) per_cpu_ptr(p, kernel_cpu)
#define for_each_online_cpu(c) for ((c) = 0; (c) < KERNEL_CPUS; (c)++)
#define for_each_possible_cpu(c) for_each_online_cpu(c)
#define num_online_cpus() 2

/* ---- work queues and hot plug: recorded, never run (so the depot is never trimmed) ---- */
struct work_struct { void (*fn)(struct work_struct *); };
struct delayed_work { struct work_struct work; int pending; };
#define INIT_DELAYED_WORK(w, f) ((w)->work.fn = (f))
#define schedule_delayed_work(w, d) ((w)->pending = 1)
#define cancel_delayed_work_sync(w) ((w)->pending = 0)
#define msecs_to_jiffies(m) (m)
#define kmemleak_transient_leak(p) ((void)0)
#define CPUHP_IOMMU_IOVA_DEAD 0
#define cpuhp_state_add_instance_nocalls(s, n) ((void)(n), 0)
#define cpuhp_state_remove_instance_nocalls(s, n) ((void)(n))
#define cpuhp_setup_state_multi(s, n, a, b) ((void)(b), 0)
#define cpuhp_remove_multi_state(s) ((void)0)
#endif
