"""Twenty projects with dependencies that people have, for uv to lock on the spot.

`options` are those of `uv sync` that are tried beside none.
"""

PROJECT = """[project]
name = "{name}"
version = "0.1.0"
requires-python = "{python}"
dependencies = {dependencies}
"""


def project(name, dependencies, rest="", python=">=3.9", options=(), files=None):
    return {
        "name": name,
        "files": {"pyproject.toml": PROJECT.format(name=name, python=python, dependencies=dependencies) + rest, **(files or {})},
        "options": options,
    }


PROJECTS = [
    project("science", ["numpy", "scipy", "pandas", "matplotlib"], """
[dependency-groups]
dev = ["pytest", "ruff"]
docs = ["sphinx"]
""", options=[["--no-dev"], ["--group", "docs"], ["--only-group", "docs"], ["--only-dev"], ["--no-default-groups"], ["--all-groups"]]),
    project("web", ["django>=4", "psycopg[binary]", "gunicorn", "whitenoise"], """
[project.optional-dependencies]
cache = ["redis[hiredis]"]
async = ["uvicorn[standard]", "channels"]
""", options=[["--extra", "cache"], ["--all-extras"], ["--all-extras", "--no-extra", "async"]]),
    project("api", ["fastapi[standard]", "sqlalchemy[asyncio]", "alembic", "asyncpg"]),
    project("cli", ["click", "rich", "typer", "colorama; sys_platform == 'win32'", "uvloop; sys_platform != 'win32'"]),
    project("learning", ["scikit-learn", "xgboost", "lightgbm", "joblib"], python=">=3.10"),
    project("scraping", ["scrapy", "beautifulsoup4", "lxml", "httpx[http2,brotli]", "playwright"]),
    project("cloud", ["boto3", "azure-identity", "google-cloud-storage", "kubernetes"], python=">=3.10"),
    project("notebooks", ["jupyterlab", "ipykernel", "nbconvert"], python=">=3.10"),
    project("linters", [], """
[dependency-groups]
lint = ["black", "ruff", "mypy", "pylint"]
test = ["pytest", "pytest-cov", "hypothesis", "tox"]
all = [{include-group = "lint"}, {include-group = "test"}]
[tool.uv]
default-groups = ["lint"]
""", options=[["--group", "test"], ["--no-group", "lint"], ["--group", "all"], ["--only-group", "test"]]),
    project("every-group", ["attrs"], """
[dependency-groups]
one = ["iniconfig"]
two = ["six"]
[tool.uv]
default-groups = "all"
""", options=[["--no-group", "two"], ["--no-default-groups"]]),
    project("queues", ["celery[redis,msgpack]", "flower", "kombu", "pyzmq"]),
    project("crypto", ["cryptography", "paramiko", "pynacl", "bcrypt", "argon2-cffi"]),
    project("data", ["polars", "pyarrow", "duckdb", "pydantic", "orjson"], python=">=3.10"),
    project("images", ["pillow", "opencv-python-headless", "scikit-image", "imageio"], python=">=3.10"),
    project("documents", ["sphinx", "furo", "mkdocs-material", "docutils"], python=">=3.10"),
    # Forks: another version for each part of the environments.
    project("forks", [
        "numpy<2; python_version < '3.12'", "numpy>=2; python_version >= '3.12'",
        "pandas; platform_machine == 'x86_64'", "idna==3.4; sys_platform == 'win32'", "idna==3.7; sys_platform != 'win32'",
    ], python=">=3.10"),
    # Extras and groups that exclude each other.
    project("conflicts", ["packaging"], """
[project.optional-dependencies]
old = ["urllib3==1.26.18", "requests"]
new = ["urllib3==2.2.1", "requests"]
[dependency-groups]
first = ["sortedcontainers==2.3.0"]
second = ["sortedcontainers==2.4.0"]
[tool.uv]
conflicts = [
  [{ extra = "old" }, { extra = "new" }],
  [{ group = "first" }, { group = "second" }],
]
""", options=[["--extra", "old"], ["--extra", "new"], ["--group", "first"], ["--extra", "new", "--group", "second"]]),
    # Only some environments, and what is not for this one.
    project("environments", ["greenlet", "pywin32; sys_platform == 'win32'"], """
[tool.uv]
environments = ["sys_platform == 'linux'", "sys_platform == 'win32'"]
constraint-dependencies = ["greenlet<3.2"]
override-dependencies = ["six==1.16.0"]
""", python=">=3.10"),
    # A workspace; one member needs the other, and an extra of it.
    project("workspace", ["member-one[fast]", "tomli; python_version < '3.11'"], """
[tool.uv.sources]
member-one = { workspace = true }
[tool.uv.workspace]
members = ["members/*"]
""", options=[["--all-packages"]], files={
        "members/one/pyproject.toml": PROJECT.format(name="member-one", python=">=3.9", dependencies=["anyio"]) + """
[project.optional-dependencies]
fast = ["msgpack"]
slow = ["pyyaml"]
""",
        "members/two/pyproject.toml": PROJECT.format(name="member-two", python=">=3.9", dependencies=["member-one[slow]", "jinja2"]) + """
[tool.uv.sources]
member-one = { workspace = true }
""",
    }),
    # A root that is no project, with groups of its own.
    {
        "name": "root",
        "files": {
            "pyproject.toml": """
[dependency-groups]
dev = ["coverage"]
[tool.uv.workspace]
members = ["a", "b"]
""",
            "a/pyproject.toml": PROJECT.format(name="part-a", python=">=3.9", dependencies=["markupsafe"]),
            "b/pyproject.toml": PROJECT.format(name="part-b", python=">=3.9", dependencies=["pyyaml"]) + """
[project.optional-dependencies]
more = ["ujson"]
""",
        },
        "options": [["--no-dev"], ["--all-extras"], ["--only-dev"]],
    },
]
