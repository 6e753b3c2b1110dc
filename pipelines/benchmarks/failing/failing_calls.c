/* Lets one system call of writing fail, or kills the process at it.
 *
 * Preloaded (LD_PRELOAD), it stands before the C library's functions that write. A plan
 * names a folder, a kind of call, the number of the call and what happens at it. Without
 * a plan each call is passed on. Calls elsewhere than below the folder are neither
 * counted nor changed.
 *
 * A failing fsync or close loses half of what was added to the file since it was opened
 * or flushed: that is what a caller has to expect of such an error.
 *
 * C++'s streams, Apache Arrow, TensorFlow's POSIX file system and Python call these
 * functions; calls inside the C library itself (`fwrite` that flushes) do not pass here,
 * so the functions of `FILE` stand here too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, WRITE, SYNC, CLOSE, RENAME, LINK, REMOVE, MKDIR, TRUNCATE, CHMOD, KINDS };
#define FILES 65536

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char prefix[PATH_MAX];
static volatile int armed;
static int wanted, error_number, is_lasting, fired;
static long number, matching;
static char journal[1 << 20];
static size_t journal_length;
static off_t flushed[FILES]; /* bytes of an open file that are on the disk */

/* Starts a plan. `kinds`: a bit for each kind of call that may fail. `at`: number of the
 * call among these, from 1. `error`: an errno; 0 to count only; below 0 the negative
 * number of a signal for this process. `lasting`: whether all later ones fail too. */
void failing_calls_start(const char *folder, int kinds, long at, int error, int lasting) {
  pthread_mutex_lock(&mutex);
  snprintf(prefix, sizeof prefix, "%s", folder);
  wanted = kinds, number = at, error_number = error, is_lasting = lasting;
  fired = 0, matching = 0;
  journal_length = 0, journal[0] = 0;
  armed = 1;
  pthread_mutex_unlock(&mutex);
}

/* Ends the plan; returns the number of calls that failed. */
int failing_calls_stop(void) {
  armed = 0;
  return fired;
}

/* Number of calls so far that may fail by the plan. */
long failing_calls_counted(void) { return matching; }

/* One line for each counted call: kind, function, path. */
const char *failing_calls_journal(void) { return journal; }

static int is_below(const char *path) {
  size_t length = strlen(prefix);
  return !strncmp(path, prefix, length) && (path[length] == '/' || !path[length]);
}

static void path_of(int descriptor, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  long length = syscall(SYS_readlink, link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
}

static void absolute(int folder, const char *name, char *path) {
  path[0] = 0;
  if (!name) return;
  if (name[0] == '/') {
    snprintf(path, PATH_MAX, "%s", name);
    return;
  }
  char start[PATH_MAX];
  if (folder == AT_FDCWD) {
    if (syscall(SYS_getcwd, start, sizeof start) < 0) return;
  } else {
    path_of(folder, start);
  }
  if (snprintf(path, PATH_MAX, "%s/%s", start, name) >= PATH_MAX) path[0] = 0;
}

/* Returns whether this call fails now; counts it if its path is below the folder. */
static int fails(enum kind kind, const char *function, const char *path) {
  if (!armed || !is_below(path)) return 0;
  pthread_mutex_lock(&mutex);
  int matches = wanted >> kind & 1;
  matching += matches;
  int written = snprintf(journal + journal_length, sizeof journal - journal_length,
                         "%d %s %s\n", kind, function, path);
  if (written > 0 && journal_length + written < sizeof journal) journal_length += written;
  int is_now = error_number && matches &&
               (matching == number || (is_lasting && matching > number));
  fired += is_now;
  pthread_mutex_unlock(&mutex);
  if (!is_now) return 0;
  if (error_number < 0) {
    syscall(SYS_kill, getpid(), -error_number);
    return 0; /* a signal that is handled */
  }
  errno = error_number;
  return 1;
}

static int fails_at(enum kind kind, const char *function, int folder, const char *name) {
  if (!armed) return 0;
  char path[PATH_MAX];
  absolute(folder, name, path);
  return fails(kind, function, path);
}

static int fails_of(enum kind kind, const char *function, int descriptor) {
  if (!armed) return 0;
  int before = errno;
  char path[PATH_MAX];
  path_of(descriptor, path);
  errno = before;
  return fails(kind, function, path);
}

static int is_written(int descriptor) {
  int before = errno;
  long flags = syscall(SYS_fcntl, descriptor, F_GETFL);
  errno = before;
  return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY || ((flags) & O_CREAT))

static off_t size_of(int descriptor) {
  struct stat found;
  int before = errno;
  off_t size = !fstat(descriptor, &found) && S_ISREG(found.st_mode) ? found.st_size : 0;
  errno = before;
  return size;
}

static void note(int descriptor, off_t size) {
  if (descriptor >= 0 && descriptor < FILES) flushed[descriptor] = size;
}

/* A flush holds for all descriptors of the file. */
static void note_flushed(int descriptor) {
  struct stat found, other;
  if (fstat(descriptor, &found)) return;
  int before = errno;
  for (int one = 0; one < 1024; one++)
    if (!fstat(one, &other) && other.st_ino == found.st_ino &&
        other.st_dev == found.st_dev)
      note(one, found.st_size);
  errno = before;
}

static void lose_half(int descriptor) {
  int before = errno;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  off_t safe = descriptor < FILES ? flushed[descriptor] : 0, size = size_of(descriptor);
  if (size > safe) syscall(SYS_truncate, link, (safe + size) / 2);
  errno = before;
}

/* What is in a file that is opened for writing counts as on the disk. */
static void note_opened(int descriptor, int flags) {
  if (descriptor >= 0) note(descriptor, WRITES(flags) ? size_of(descriptor) : 0);
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define MODE(flags, last) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | __O_TMPFILE)) { \
    va_list more; \
    va_start(more, last); \
    mode = va_arg(more, mode_t); \
    va_end(more); \
  }

#define DEFINE_OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    MODE(flags, flags) \
    if (armed && WRITES(flags) && fails_at(OPEN, #name, AT_FDCWD, path)) return -1; \
    int opened = real(path, flags, mode); \
    if (armed) note_opened(opened, flags); \
    return opened; \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

#define DEFINE_OPENAT(name) \
  int name(int folder, const char *path, int flags, ...) { \
    REAL(name); \
    MODE(flags, flags) \
    if (armed && WRITES(flags) && fails_at(OPEN, #name, folder, path)) return -1; \
    int opened = real(folder, path, flags, mode); \
    if (armed) note_opened(opened, flags); \
    return opened; \
  }
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

#define DEFINE_CREAT(name) \
  int name(const char *path, mode_t mode) { \
    REAL(name); \
    if (fails_at(OPEN, #name, AT_FDCWD, path)) return -1; \
    int opened = real(path, mode); \
    if (armed) note_opened(opened, O_WRONLY); \
    return opened; \
  }
DEFINE_CREAT(creat)
DEFINE_CREAT(creat64)

#define DEFINE_FOPEN(name) \
  FILE *name(const char *path, const char *how) { \
    REAL(name); \
    int writes = strpbrk(how, "wa+") != NULL; \
    if (armed && writes && fails_at(OPEN, #name, AT_FDCWD, path)) return NULL; \
    FILE *opened = real(path, how); \
    if (armed && opened) note_opened(fileno(opened), writes ? O_WRONLY : O_RDONLY); \
    return opened; \
  }
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

ssize_t write(int file, const void *bytes, size_t size) {
  REAL(write);
  if (fails_of(WRITE, "write", file)) return -1;
  return real(file, bytes, size);
}

#define DEFINE_PWRITE(name, offset_type) \
  ssize_t name(int file, const void *bytes, size_t size, offset_type offset) { \
    REAL(name); \
    if (fails_of(WRITE, #name, file)) return -1; \
      return real(file, bytes, size, offset); \
  }
DEFINE_PWRITE(pwrite, off_t)
DEFINE_PWRITE(pwrite64, off64_t)

ssize_t writev(int file, const struct iovec *parts, int number_of_parts) {
  REAL(writev);
  if (fails_of(WRITE, "writev", file)) return -1;
  return real(file, parts, number_of_parts);
}

#define DEFINE_PWRITEV(name, offset_type) \
  ssize_t name(int file, const struct iovec *parts, int length, offset_type offset) { \
    REAL(name); \
    if (fails_of(WRITE, #name, file)) return -1; \
      return real(file, parts, length, offset); \
  }
DEFINE_PWRITEV(pwritev, off_t)
DEFINE_PWRITEV(pwritev64, off64_t)

#define DEFINE_SENDFILE(name, offset_type) \
  ssize_t name(int out, int in, offset_type *offset, size_t size); \
  ssize_t name(int out, int in, offset_type *offset, size_t size) { \
    REAL(name); \
    if (fails_of(WRITE, #name, out)) return -1; \
      return real(out, in, offset, size); \
  }
DEFINE_SENDFILE(sendfile, off_t)
DEFINE_SENDFILE(sendfile64, off64_t)

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size,
                        unsigned flags) {
  REAL(copy_file_range);
  if (fails_of(WRITE, "copy_file_range", out)) return -1;
  return real(in, from, out, to, size, flags);
}

size_t fwrite(const void *bytes, size_t size, size_t items, FILE *file) {
  REAL(fwrite);
  if (armed && fails_of(WRITE, "fwrite", fileno(file))) return 0;
  return real(bytes, size, items, file);
}

int fputs(const char *text, FILE *file) {
  REAL(fputs);
  if (armed && fails_of(WRITE, "fputs", fileno(file))) return EOF;
  return real(text, file);
}

int fflush(FILE *file) {
  REAL(fflush);
  if (armed && file && __fpending(file) && fails_of(WRITE, "fflush", fileno(file)))
    return EOF;
  return real(file);
}

int fclose(FILE *file) {
  REAL(fclose);
  int descriptor = fileno(file);
  if (armed && descriptor >= 0 && is_written(descriptor) &&
      fails_of(CLOSE, "fclose", descriptor)) {
    int before = errno;
    int copy = dup(descriptor);
    note(copy, descriptor < FILES ? flushed[descriptor] : 0);
    real(file);
    lose_half(copy);
    syscall(SYS_close, copy);
    errno = before;
    return EOF;
  }
  return real(file);
}

int close(int file) {
  REAL(close);
  if (armed && is_written(file) && fails_of(CLOSE, "close", file)) {
    int before = errno;
    lose_half(file);
    real(file);
    errno = before;
    return -1;
  }
  return real(file);
}

#define DEFINE_SYNC(name) \
  int name(int file) { \
    REAL(name); \
    if (fails_of(SYNC, #name, file)) { \
      lose_half(file); \
      return -1; \
    } \
    int result = real(file); \
    if (armed && !result) note_flushed(file); \
    return result; \
  }
DEFINE_SYNC(fsync)
DEFINE_SYNC(fdatasync)

int rename(const char *from, const char *to) {
  REAL(rename);
  if (fails_at(RENAME, "rename", AT_FDCWD, to)) return -1;
  return real(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
  REAL(renameat);
  if (fails_at(RENAME, "renameat", to_folder, to)) return -1;
  return real(from_folder, from, to_folder, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to,
              unsigned flags) {
  REAL(renameat2);
  if (fails_at(RENAME, "renameat2", to_folder, to)) return -1;
  return real(from_folder, from, to_folder, to, flags);
}

int link(const char *from, const char *to) {
  REAL(link);
  if (fails_at(LINK, "link", AT_FDCWD, to)) return -1;
  return real(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  REAL(linkat);
  if (fails_at(LINK, "linkat", to_folder, to)) return -1;
  return real(from_folder, from, to_folder, to, flags);
}

int symlink(const char *target, const char *path) {
  REAL(symlink);
  if (fails_at(LINK, "symlink", AT_FDCWD, path)) return -1;
  return real(target, path);
}

int symlinkat(const char *target, int folder, const char *path) {
  REAL(symlinkat);
  if (fails_at(LINK, "symlinkat", folder, path)) return -1;
  return real(target, folder, path);
}

#define DEFINE_REMOVE(name) \
  int name(const char *path) { \
    REAL(name); \
    if (fails_at(REMOVE, #name, AT_FDCWD, path)) return -1; \
    return real(path); \
  }
DEFINE_REMOVE(unlink)
DEFINE_REMOVE(rmdir)
DEFINE_REMOVE(remove)

int unlinkat(int folder, const char *path, int flags) {
  REAL(unlinkat);
  if (fails_at(REMOVE, "unlinkat", folder, path)) return -1;
  return real(folder, path, flags);
}

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  if (fails_at(MKDIR, "mkdir", AT_FDCWD, path)) return -1;
  return real(path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
  REAL(mkdirat);
  if (fails_at(MKDIR, "mkdirat", folder, path)) return -1;
  return real(folder, path, mode);
}

#define DEFINE_TRUNCATE(name, offset_type) \
  int name(int file, offset_type size) { \
    REAL(name); \
    if (fails_of(TRUNCATE, #name, file)) return -1; \
    return real(file, size); \
  }
DEFINE_TRUNCATE(ftruncate, off_t)
DEFINE_TRUNCATE(ftruncate64, off64_t)

int chmod(const char *path, mode_t mode) {
  REAL(chmod);
  if (fails_at(CHMOD, "chmod", AT_FDCWD, path)) return -1;
  return real(path, mode);
}

int fchmod(int file, mode_t mode) {
  REAL(fchmod);
  if (fails_of(CHMOD, "fchmod", file)) return -1;
  return real(file, mode);
}

int fchmodat(int folder, const char *path, mode_t mode, int flags) {
  REAL(fchmodat);
  if (fails_at(CHMOD, "fchmodat", folder, path)) return -1;
  return real(folder, path, mode, flags);
}
