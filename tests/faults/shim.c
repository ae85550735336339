// Faults under the real binary: loaded before libc by LD_PRELOAD, it makes the disk full, broken or read-only, and moves the
// clock, whenever the test says so.
//
// The test and the process share one page, the file that ALM_FAULTS names; disk.rs writes it and knows the same layout. A fault
// is the error number that a call fails with; 0: none. Only regular files fail, so sockets and the log go on.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct faults {
    int64_t grow;  // writes that make a file longer: what a full disk refuses
    int64_t write; // every write
    int64_t sync;
    int64_t read;
    int64_t stall; // 1: a sync does not come back before it is 0
    int64_t open;  // of files below the data folder, for writing
    int64_t clock; // seconds that the clock is wrong by
    int64_t spare; // syncs that go well before any call fails: a test that says 1 has the next commit, and no more
    int64_t met;   // how many calls failed so far
};

static volatile struct faults none, *faults = &none;
static const char *folder = "";

__attribute__((constructor)) static void share(void) {
    const char *path = getenv("ALM_FAULTS"), *data = getenv("ALM_DATA_DIR");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED) faults = page;
    close(fd);
    if (data) folder = data;
}

static int fails(int64_t error) {
    if (error == 0 || faults->spare > 0) return 0;
    __sync_fetch_and_add(&faults->met, 1);
    errno = (int)error;
    return 1;
}

static int is_file(int fd, struct stat *found) {
    return fstat(fd, found) == 0 && S_ISREG(found->st_mode);
}

static int write_fails(int fd, size_t bytes, int64_t at) {
    struct stat found;
    if ((faults->write | faults->grow) == 0 || !is_file(fd, &found)) return 0;
    return fails(faults->write) || (at + (int64_t)bytes > found.st_size && fails(faults->grow));
}

static int sync_fails(int fd) {
    struct stat found;
    return faults->sync && is_file(fd, &found) && fails(faults->sync);
}

static int read_fails(int fd) {
    struct stat found;
    return faults->read && is_file(fd, &found) && fails(faults->read);
}

static int open_fails(const char *path, int flags) {
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    return faults->open && writes && *folder && strncmp(path, folder, strlen(folder)) == 0 && fails(faults->open);
}

// What the binary calls of libc: `nm -D` lists it.
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE(last) mode_t mode; va_list rest; va_start(rest, last); mode = va_arg(rest, mode_t); va_end(rest)

ssize_t write(int fd, const void *from, size_t bytes) {
    return write_fails(fd, bytes, lseek(fd, 0, SEEK_CUR)) ? -1 : REAL(write)(fd, from, bytes);
}
ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at) {
    return write_fails(fd, bytes, at) ? -1 : REAL(pwrite64)(fd, from, bytes, at);
}
ssize_t pread64(int fd, void *to, size_t bytes, off64_t at) {
    return read_fails(fd) ? -1 : REAL(pread64)(fd, to, bytes, at);
}
int fsync(int fd) {
    struct stat found;
    while (faults->stall && is_file(fd, &found)) usleep(1000);
    if (sync_fails(fd)) return -1;
    if (faults->spare > 0) __sync_fetch_and_sub(&faults->spare, 1);
    return REAL(fsync)(fd);
}
int ftruncate64(int fd, off64_t bytes) { return write_fails(fd, 0, bytes) ? -1 : REAL(ftruncate64)(fd, bytes); }
int open(const char *path, int flags, ...) {
    MODE(flags);
    return open_fails(path, flags) ? -1 : REAL(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags);
    return open_fails(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = REAL(clock_gettime)(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += faults->clock;
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int result = REAL(gettimeofday)(now, zone);
    now->tv_sec += faults->clock;
    return result;
}
