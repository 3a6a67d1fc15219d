# The image of every process of docker-compose.yml.
FROM python:3.12-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 picha

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .

ENV PYTHONUNBUFFERED=1 RIS_BOOTSTRAP=0 RIS_BIND=0.0.0.0 RIS_STATE=/var/lib/picha
# Static files are collected once, compressed and named by their content.
RUN RIS_DEMO=1 DATABASE_URL=postgresql://nobody@127.0.0.1:1/none python manage.py collectstatic --no-input \
 && mkdir -p /var/lib/picha/instances /var/lib/picha/media \
 && chown -R picha:picha /var/lib/picha
USER picha
VOLUME /var/lib/picha
