# ctcbias_fst with its server on a GPU: torch 2.7.1 for CUDA 12.6 (stack B of docs/install.md).
#   docker build -f docker/cuda.Dockerfile -t ctcbias:cuda .
#   docker run --gpus all -p 127.0.0.1:8000:8000 ctcbias:cuda
# Other versions: the three below belong together (docs/install.md has which there are).
ARG CUDA=12.6.3
FROM nvidia/cuda:${CUDA}-runtime-ubuntu24.04
ARG TORCH=2.7.1
ARG K2=1.24.4.dev20250714+cuda12.6.torch2.7.1
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv ffmpeg \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home ctcbias \
    && install -d -o ctcbias /data /cache
ENV PATH=/opt/ctcbias/bin:$PATH CTCBIAS_CACHE=/cache XDG_DATA_HOME=/data
RUN python3 -m venv /opt/ctcbias \
    && pip install --no-cache-dir "torch==${TORCH}" \
    && pip install --no-cache-dir "k2==${K2}" -f https://k2-fsa.github.io/k2/cuda.html
COPY . /src
RUN pip install --no-cache-dir '/src[torch2,serve,postgres,plots,hf,onnx]' && rm -rf /src
USER ctcbias
VOLUME ["/cache", "/data"]
EXPOSE 8000
HEALTHCHECK --start-period=120s --interval=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["ctcbias"]
CMD ["serve", "--host", "0.0.0.0", "--device", "cuda"]
