# A server in public: the page on CPUs, its networks inside, nothing fetched when it runs.
# docs/operating.md says how to run it.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt requirements.txt ./
RUN python -m venv /opt/camviz \
    && /opt/camviz/bin/pip install --constraint constraints.txt --requirement requirements.txt \
       --extra-index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml setup.py README.md LICENSE Spacefile ./
COPY assets assets
COPY camviz camviz
COPY docs/glossary.md docs/glossary.md
RUN /opt/camviz/bin/pip install --no-deps . \
    && /opt/camviz/bin/pip check

FROM python:3.11.14-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin camviz
COPY --from=build /opt/camviz /opt/camviz
ENV CAMVIZ_PUBLIC=1 \
    CAMVIZ_CACHE=/tmp/camviz \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_TEMP_DIR=/tmp/gradio \
    HF_HOME=/tmp/huggingface \
    HF_HUB_OFFLINE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    OMP_NUM_THREADS=1 \
    PATH=/opt/camviz/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /tmp
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
CMD ["camviz", "serve"]
