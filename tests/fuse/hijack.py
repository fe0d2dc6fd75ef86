"""A worker that is no longer its own master: what a hole in it would give to others, by ptrace."""

import contextlib
import ctypes
import errno
import os
import platform
import signal

import pytest
from support import missing
from waiting import wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
CONTINUE, GETREGS, SETREGS, SINGLESTEP, DETACH, SEIZE, INTERRUPT = 7, 12, 13, 9, 17, 0x4206, 0x4207
WALL = 0x40000000
REGISTERS = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base "
             "ds es fs gs").split()
CALLS = {"read": 0, "write": 1, "open": 2, "close": 3, "mmap": 9, "ioctl": 16, "getpid": 39, "socket": 41, "connect": 42,
         "sendto": 44, "sendmsg": 46, "bind": 49, "socketpair": 53, "clone": 56, "fork": 57, "vfork": 58, "execve": 59,
         "kill": 62, "fcntl": 72, "truncate": 76, "rename": 82, "mkdir": 83, "link": 86, "unlink": 87, "symlink": 88,
         "chmod": 90, "fchmod": 91, "ptrace": 101, "setuid": 105, "rt_sigqueueinfo": 129, "mknod": 133, "prctl": 157,
         "chroot": 161, "mount": 165, "tkill": 200, "tgkill": 234, "openat": 257, "fchmodat": 268, "unshare": 272,
         "utimensat": 280, "prlimit64": 302, "process_vm_writev": 311, "bpf": 321, "execveat": 322, "pidfd_send_signal": 424,
         "io_uring_setup": 425, "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438}


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in REGISTERS]


def ptrace(request, pid, address=0, data=0):
    if LIBC.ptrace(request, pid, ctypes.c_void_p(address), data) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Hijacked:
    """The main thread, which waits in a system call; the others go on."""

    def __init__(self, pid):
        self.pid, self.kept = pid, Registers()
        ptrace(SEIZE, pid)
        self.memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
        wait_until(self.is_in_a_call, "a main thread that waits in a system call")
        self.free = self.kept.rsp - 65536  # below what its stack holds

    def is_in_a_call(self):
        """Stopped there; else it goes on, as it has not got so far yet."""
        ptrace(INTERRUPT, self.pid)
        os.waitpid(self.pid, WALL)
        ptrace(GETREGS, self.pid, 0, ctypes.byref(self.kept))
        if os.pread(self.memory, 2, self.kept.rip - 2) == b"\x0f\x05":
            return True
        ptrace(CONTINUE, self.pid)
        return False

    def bytes(self, data):
        """The address of a copy there."""
        self.free -= (len(data) + 15) & ~15
        os.pwrite(self.memory, data, self.free)
        return self.free

    def read(self, address, size):
        return os.pread(self.memory, size, address)

    def __getattr__(self, name):
        """A system call: what it gives, a negative errno too. Bytes and texts become addresses."""

        def call(*arguments):
            arguments = [self.bytes(os.fsencode(a) + b"\0") if isinstance(a, str) else
                         self.bytes(a) if isinstance(a, bytes) else a for a in arguments]
            registers = Registers.from_buffer_copy(self.kept)
            registers.rax, registers.orig_rax, registers.rip = CALLS[name], 2**64 - 1, self.kept.rip - 2
            for register, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), [*arguments, *[0] * 6]):
                setattr(registers, register, value % 2**64)
            ptrace(SETREGS, self.pid, 0, ctypes.byref(registers))
            ptrace(SINGLESTEP, self.pid)
            status = os.waitpid(self.pid, WALL)[1]
            assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTRAP, (name, status)
            ptrace(GETREGS, self.pid, 0, ctypes.byref(registers))
            return registers.rax - 2**64 if registers.rax >= 2**63 else registers.rax

        return call

    def refuses(self, name, *arguments):
        r = getattr(self, name)(*arguments)
        assert r in (-errno.ENOSYS, -errno.EPERM, -errno.EACCES, -errno.EXDEV), (name, arguments, r)

    def release(self):
        ptrace(SETREGS, self.pid, 0, ctypes.byref(self.kept))
        ptrace(DETACH, self.pid)
        os.close(self.memory)


@contextlib.contextmanager
def hijacked(pid):
    if platform.machine() != "x86_64":
        missing("an x86_64, whose registers these are,")
    if "san.so" in open(f"/proc/{pid}/maps").read():
        pytest.skip("a sanitizer is allowed more")
    worker = Hijacked(pid)
    try:
        yield worker
    finally:
        worker.release()
