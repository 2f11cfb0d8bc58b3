# ctcbias_fst with its server on a CPU: torch 1.13, k2 1.23.4 (stack A of docs/install.md).
#   docker build -f docker/cpu.Dockerfile -t ctcbias .
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements requirements
RUN python -m venv /opt/ctcbias \
    && grep -oE '^[a-z0-9._-]+==[^ ]+' requirements/py311.txt > pins.txt \
    && /opt/ctcbias/bin/pip install --no-cache-dir -c pins.txt torch==1.13.1 'numpy<2' \
    && /opt/ctcbias/bin/pip install --no-cache-dir --no-deps -r requirements/k2.txt
COPY . .
RUN /opt/ctcbias/bin/pip install --no-cache-dir -c pins.txt '.[torch1,serve,postgres,plots,hf-torch1,onnx]'

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home ctcbias \
    && install -d -o ctcbias /data /cache
COPY --from=build /opt/ctcbias /opt/ctcbias
ENV PATH=/opt/ctcbias/bin:$PATH CTCBIAS_CACHE=/cache XDG_DATA_HOME=/data
USER ctcbias
VOLUME ["/cache", "/data"]
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["ctcbias"]
CMD ["serve", "--host", "0.0.0.0"]
