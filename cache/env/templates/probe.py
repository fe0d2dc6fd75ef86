# Run once for an interpreter; prints what venvfs wants to know of it as one JSON object.
import json
import os
import platform
import struct
import sys
import sysconfig

config = sysconfig.get_config_var
info = sys.version_info


def libc():
    try:
        name, _, version = os.confstr("CS_GNU_LIBC_VERSION").partition(" ")
        return [name, version]
    except (AttributeError, OSError, ValueError):
        pass
    # Not glibc: musl's loader says its version when it is called without a program.
    try:
        import subprocess

        with open(sys.executable, "rb") as f:
            head = f.read(65536)
        at = head.find(b"/lib/ld-musl-")
        if at < 0:
            return ["", ""]
        loader = head[at : head.index(b"\0", at)]
        text = subprocess.run([loader], stderr=subprocess.PIPE).stderr.decode()
        for line in text.splitlines():
            if line.startswith("Version "):
                return ["musl", line[8:].strip()]
    except (OSError, ValueError):
        pass
    return ["", ""]


def full_version(v):
    text = "%d.%d.%d" % (v.major, v.minor, v.micro)
    if v.releaselevel != "final":
        text += v.releaselevel[0] + str(v.serial)
    return text


def site_packages():
    names = sysconfig.get_scheme_names()
    scheme = "venv" if "venv" in names else "posix_prefix"
    path = sysconfig.get_path("purelib", scheme, {"base": "", "platbase": ""})
    return path.lstrip("/")


def pip_wheels():
    """Where ensurepip has its wheels; distributions have a folder of their own for them."""
    folder = config("WHEEL_PKG_DIR")
    if folder:
        return folder
    try:
        import importlib.util

        spec = importlib.util.find_spec("ensurepip")
        return os.path.join(os.path.dirname(spec.origin), "_bundled") if spec else ""
    except (ImportError, ValueError, AttributeError, TypeError):
        return ""


base = getattr(sys, "_base_executable", None) or sys.executable
libc_name, libc_version = libc()
result = {
    "executable": os.path.abspath(base),
    "major": info[0],
    "minor": info[1],
    "version": platform.python_version(),
    "implementation": platform.python_implementation(),
    "name": sys.implementation.name,
    "cache_tag": sys.implementation.cache_tag or "",
    "free_threaded": bool(config("Py_GIL_DISABLED")),
    "debug": bool(config("Py_DEBUG")) or hasattr(sys, "gettotalrefcount"),
    "site_packages": site_packages(),
    "pip_wheels": pip_wheels(),
    "soabi": config("SOABI") or "",
    "pointer_bits": struct.calcsize("P") * 8,
    "machine": platform.machine(),
    "libc": libc_name,
    "libc_version": libc_version,
    "markers": {
        "implementation_name": sys.implementation.name,
        "implementation_version": full_version(sys.implementation.version),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    },
}
sys.stdout.write(json.dumps(result))
